"""Files that are whole or not there, whatever is killed in between. All of it raises OSError."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from contracts.fine_tuning import FineTuneFailure

UNFINISHED = ".unfinished-"
"""How names begin that nobody but their writer looks at."""


def write_file(path: Path, content: bytes) -> None:
    """Put a file in its place in one step; what was there before is there until then."""
    draft = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)  # half of it would keep a full disk full
        raise
    sync_folder(path.parent)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Put a folder in its place once `fill` has written its files; one that was there is replaced."""
    draft = path.with_name(f"{UNFINISHED}{path.name}")
    remove_folder(draft)
    draft.mkdir(mode=0o700, parents=True)
    try:
        fill(draft)
        for file in draft.iterdir():
            sync_file(file)
        sync_folder(draft)
        remove_folder(path)
        draft.rename(path)
    except BaseException:
        remove_folder(draft)
        raise
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder in a way that leaves no half of it under its name."""
    if not path.exists():
        return
    if not path.name.startswith(UNFINISHED):
        doomed = path.with_name(f"{UNFINISHED}removed-{path.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        path = doomed
    shutil.rmtree(path, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Bring a file that was written and closed to disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """A renamed file survives a power cut only when its folder is on disk too."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_failure(error: OSError) -> FineTuneFailure:
    """What a job says when its files cannot be written."""
    words = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FineTuneFailure(
            "disk_full",
            f"The job's files could not be written: {words}.",
            "Free some disk space under DELTANAS_HOME and send the job again; it goes on where it was.",
            retryable=True,
        )
    return FineTuneFailure(
        "home_unwritable",
        f"The job's files could not be written: {words}.",
        "Let the generator's user write under DELTANAS_HOME and send the job again.",
        retryable=True,
    )
