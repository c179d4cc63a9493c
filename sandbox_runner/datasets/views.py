"""Splits cut out of a pack and kept as files beside it, because a mount can only show whole files.

A view is a folder <pack>/views/<SHA-256 of what it was drawn from>: its name gives nothing away and
cannot be guessed. The least recently used ones go when there are too many. Leaves out what to draw (splits).
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.pack import FOLDER_MODE

MAX_VIEWS = 12
MIN_IDLE_SECONDS = 120.0
"""A view opened more recently than this stays: its files may be about to be mounted."""

DRAFT_PREFIX = ".draft-"
MAX_DRAFT_SECONDS = 3600.0
"""An older draft was left by a killed process."""


def view_name(*drawn_from: str) -> str:
    """The folder name of a view: SHA-256 over everything that determines it, hex."""
    return hashlib.sha256("\0".join(drawn_from).encode()).hexdigest()


def open_view(
    pack_folder: Path, name: str, write: Callable[[Path], None], check: Callable[[Path], None]
) -> Path:
    """The folder of a view; `write(folder)` fills it if it is not there yet.

    Safe between processes: the folder appears whole, and who comes second uses the first one's. A damaged
    one, for which `check(folder)` raises DatasetInvalid, is written again.
    Raises DatasetUnavailable when the disk refuses.
    """
    views = pack_folder / "views"
    folder = views / name
    try:
        if folder.is_dir():
            _remove_damaged(folder, check)
        if not folder.is_dir():
            views.mkdir(mode=FOLDER_MODE, exist_ok=True)
            views.chmod(FOLDER_MODE)
            _make(views, folder, write)
        os.utime(folder)
        _remove_idle(views, keep=folder)
    except OSError as error:
        raise DatasetUnavailable(
            f"A split could not be written under {views}: {error.strerror or error}.",
            "Free some disk space; the attempt is then repeated.",
        ) from error
    return folder


def _make(views: Path, folder: Path, write: Callable[[Path], None]) -> None:
    draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=views))
    try:
        write(draft)
        draft.chmod(FOLDER_MODE)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_idle(views: Path, keep: Path) -> None:
    ages = {}
    for folder in views.iterdir():
        with contextlib.suppress(FileNotFoundError):
            ages[folder] = time.time() - folder.stat().st_mtime
    newest_first = sorted(ages, key=lambda folder: ages[folder])
    for place, folder in enumerate(newest_first):
        if folder.name.startswith(DRAFT_PREFIX):
            if ages[folder] > MAX_DRAFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        elif place >= MAX_VIEWS and ages[folder] > MIN_IDLE_SECONDS and folder != keep:
            _remove(folder)


def _remove_damaged(folder: Path, check: Callable[[Path], None]) -> None:
    try:
        check(folder)
    except DatasetInvalid:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Gone under its name at once: a half-removed view would look like a whole one to whoever comes next."""
    doomed = folder.with_name(f"{DRAFT_PREFIX}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
