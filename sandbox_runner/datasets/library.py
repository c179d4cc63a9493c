"""All datasets of one runner: which there are, which are ready, and how they become so.

<home>/datasets/<name>/            a pack
<home>/datasets/.downloads/<name>/ what was fetched for it, or put there by hand
<home>/datasets/.locks/<name>      held while it is prepared, so that two processes do it once
"""

import contextlib
import errno
import fcntl
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from contracts.jobs import DatasetReport
from contracts.names import STANDARD_DATASETS
from sandbox_runner.datasets.arrays_file import is_arrays_file, read_arrays_file
from sandbox_runner.datasets.errors import (
    DatasetError,
    DatasetInvalid,
    DatasetNotReady,
    DatasetUnavailable,
    DatasetUnknown,
)
from sandbox_runner.datasets.pack import FOLDER_MODE, Pack, Progress, open_pack, write_pack
from sandbox_runner.datasets.picture_tree import read_folder, read_zip
from sandbox_runner.datasets.raw import RawDataset
from sandbox_runner.datasets.standard import CATALOGUE

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
HOST_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
"""What no content of a file can bring about."""


class Library:
    """The datasets under one DELTANAS_HOME. Holds nothing in memory; any number of processes may use it."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "datasets"

    def reports(self) -> list[DatasetReport]:
        """Every standard dataset, then the user's own in alphabetical order, ready or not."""
        own = sorted(
            path.name
            for path in (self.folder.iterdir() if self.folder.is_dir() else ())
            if path.is_dir() and NAME.fullmatch(path.name) and path.name not in STANDARD_DATASETS
        )
        return [self.report(name) for name in (*STANDARD_DATASETS, *own)]

    def report(self, name: str) -> DatasetReport:
        """One dataset, ready or not. Raises DatasetUnknown."""
        try:
            return self.open(name).report()
        except (DatasetNotReady, DatasetInvalid) as error:
            return DatasetReport(name=name, ready=False, problem=str(error))

    def open(self, name: str) -> Pack:
        """A prepared pack. Raises DatasetUnknown, DatasetNotReady, DatasetInvalid (damaged on disk)."""
        folder = self.folder / name
        if NAME.fullmatch(name) and (folder / "pack.json").is_file():
            return open_pack(folder)
        if name in STANDARD_DATASETS:
            raise DatasetNotReady(f"{name} is not prepared yet; run `deltanas datasets prepare {name}`.")
        known = ", ".join(report.name for report in self.reports())
        raise DatasetUnknown(f"There is no dataset {name!r:.80}. Known: {known}.")

    def prepare(self, name: str, progress: Progress | None = None) -> DatasetReport:
        """Make the pack of a standard dataset from the first source that has it; leave a ready one as it is.

        Raises DatasetUnknown, or DatasetUnavailable naming what every source said and what to do.
        """
        if name not in CATALOGUE:
            return self.open(name).report()
        with self._locked(name):
            with contextlib.suppress(DatasetNotReady, DatasetInvalid):
                return self.open(name).report()
            raw = self._fetch(name)
            return write_pack(self.folder / name, name, raw, progress).report()

    def add(self, name: str, path: Path, progress: Progress | None = None) -> DatasetReport:
        """Make a pack of a user's own data: a folder of pictures by class, a .zip of one, or an .npz.

        Raises DatasetInvalid for names and data that break a rule, DatasetUnavailable when the disk refuses.
        """
        self.check_new_name(name)
        with self._locked(name):
            self.check_new_name(name)
            try:
                raw = _read_own(name, path, self.folder)
                return write_pack(self.folder / name, name, raw, progress).report()
            except OSError as error:
                said = error.strerror or error
                if error.errno in HOST_ERRNOS:
                    raise DatasetUnavailable(
                        f"{name} could not be taken in: {said}.", "Free some disk space, then send it again."
                    ) from error
                raise DatasetInvalid(f"{path} cannot be read: {said}.") from error

    def remove(self, name: str) -> None:
        """Remove a user's own data, splits and all. Raises DatasetUnknown, -Invalid, -Unavailable."""
        if name in STANDARD_DATASETS:
            raise DatasetInvalid(f"{name} is a standard data set: it belongs to nobody, and stays.")
        if not NAME.fullmatch(name) or not (self.folder / name).is_dir():
            raise DatasetUnknown(f"There is no dataset {name!r:.80}.")
        with self._locked(name):
            try:
                going = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=self.folder))
                (self.folder / name).rename(going / name)  # gone at once, whatever comes then
                shutil.rmtree(going)
            except OSError as error:
                raise DatasetUnavailable(
                    f"{name} could not be removed: {error.strerror or error}.", "Try again."
                ) from error

    def check_new_name(self, name: str) -> None:
        """Raises DatasetInvalid when `name` breaks the rule or is taken."""
        if not NAME.fullmatch(name) or name in STANDARD_DATASETS:
            raise DatasetInvalid(
                f"{name!r:.80} is no name for a dataset: write a-z, 0-9 and hyphens, at most 63 characters, "
                f"and none of {', '.join(STANDARD_DATASETS)}."
            )
        if (self.folder / name).exists():
            raise DatasetInvalid(f"There is a dataset {name} already; choose another name.")

    def _fetch(self, name: str) -> RawDataset:
        downloads = self.folder / ".downloads" / name
        refusals = []
        for source in CATALOGUE[name].sources:
            try:
                return source.load(downloads)
            except DatasetError as error:
                refusals.append(f"{source.label}: {getattr(error, 'message', error)}")
            except OSError as error:
                refusals.append(f"{source.label}: {error.strerror or error} ({error.filename or 'no file'}).")
        raise DatasetUnavailable(
            f"No source gave {name}. " + " ".join(refusals), CATALOGUE[name].remedy(downloads)
        )

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the dataset's lock; it ends with the process. What a killed process left is removed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(FOLDER_MODE)
            locks = self.folder / ".locks"
            locks.mkdir(exist_ok=True)
            file = (locks / name).open("w")
        except OSError as error:
            raise DatasetUnavailable(
                f"{self.folder} cannot be written: {error.strerror or error}.",
                "Choose a DELTANAS_HOME that this user can write to.",
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for leftover in self.folder.glob(f".{name}.*"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield


def _read_own(name: str, path: Path, scratch: Path) -> RawDataset:
    if path.is_dir():
        return read_folder(path, name)
    if is_arrays_file(path):
        return read_arrays_file(path, name, scratch)
    return read_zip(path, name)
