"""Takes in a user's own dataset as a stream: bounded, on disk and not in memory, removed at the end."""

import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from contracts.jobs import DatasetReport
from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.library import Library

MAX_UPLOAD_BYTES = 8 * 1024**3


class Upload:
    """One dataset on its way in. A context manager: the received file is removed at the end."""

    def __init__(self, library: Library, name: str) -> None:
        """Raises DatasetInvalid when the name cannot be given, before any byte is taken in."""
        self._library = library
        self._name = name
        self._size = 0
        library.check_new_name(name)
        try:
            library.folder.mkdir(parents=True, exist_ok=True)
            # Without a name on disk: it ends with the process, however that ends.
            self._file = tempfile.TemporaryFile(dir=library.folder)  # noqa: SIM115
        except OSError as error:
            raise _unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # on a full disk closing writes once more, in vain
            self._file.close()

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises DatasetInvalid when there are too many, DatasetUnavailable."""
        self._size += len(chunk)
        if self._size > MAX_UPLOAD_BYTES:
            raise DatasetInvalid(f"The upload is larger than {MAX_UPLOAD_BYTES} bytes.")
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _unwritable(error) from error

    def finish(self) -> DatasetReport:
        """Make a pack of what was received. Raises DatasetInvalid, DatasetUnavailable."""
        try:
            self._file.flush()
        except OSError as error:
            raise _unwritable(error) from error
        return self._library.add(self._name, Path(f"/proc/self/fd/{self._file.fileno()}"))


def _unwritable(error: OSError) -> DatasetUnavailable:
    return DatasetUnavailable(
        f"The upload could not be written: {error.strerror or error}.", "Free some disk space."
    )
