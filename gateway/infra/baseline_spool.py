"""Files on their way into the catalogue: bounded, under DELTANAS_HOME, on disk before they have a name."""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

MAX_FILE_BYTES = 200 * 1024 * 1024
"""LEMUR's wheel has 103 MB."""
FOLDER = "baseline-imports"


class FileTooLarge(Exception):
    """More than MAX_FILE_BYTES arrived."""


class SpoolUnwritable(Exception):
    """The file cannot be written: the disk is full, say."""


@dataclass(frozen=True)
class SpooledFile:
    """A complete file, on disk."""

    content_sha256: str
    size_bytes: int


class BaselineSpool:
    """The folder of files that wait for their import, one for each import's id."""

    def __init__(self, home: Path) -> None:
        self._folder = home.absolute() / FOLDER

    def path(self, import_id: str) -> Path:
        """Where an import's file lies."""
        return self._folder / import_id

    def receive(self, import_id: str) -> "Reception":
        """Begin to take in an import's file. Raises SpoolUnwritable."""
        return Reception(self._folder, import_id)

    def discard(self, import_id: str) -> None:
        """Remove an import's file, if it is there."""
        with suppress(OSError):
            self.path(import_id).unlink(missing_ok=True)

    def discard_all_but(self, import_ids: Iterable[str]) -> None:
        """Remove what nobody waits for: uploads cut off, and files of imports that have ended."""
        kept = set(import_ids)
        with suppress(OSError):
            for file in self._folder.iterdir():
                if file.name not in kept:
                    file.unlink(missing_ok=True)


class Reception:
    """One file on its way in. A context manager: what is not kept is removed at the end."""

    def __init__(self, folder: Path, import_id: str) -> None:
        self._partial = folder / f"{import_id}.part"
        self._final = folder / import_id
        self._digest = hashlib.sha256()
        self._size = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file: IO[bytes] = self._partial.open("xb")
        except OSError as error:
            raise _unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # on a full disk closing writes once more, in vain
            self._file.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises FileTooLarge, SpoolUnwritable."""
        self._size += len(chunk)
        if self._size > MAX_FILE_BYTES:
            raise FileTooLarge
        self._digest.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _unwritable(error) from error

    def keep(self) -> SpooledFile:
        """Bring the file to disk under its name. Raises SpoolUnwritable."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.rename(self._final)
            _sync_folder(self._final.parent)
        except OSError as error:
            raise _unwritable(error) from error
        return SpooledFile(self._digest.hexdigest(), self._size)


def _sync_folder(folder: Path) -> None:
    """A renamed file survives a power cut only when its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError) -> SpoolUnwritable:
    return SpoolUnwritable(error.strerror or str(error))
