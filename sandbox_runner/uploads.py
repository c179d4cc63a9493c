"""Takes in a user's own dataset as a stream: bounded, on disk and not in memory, removed at the end."""

import tempfile
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
        self._library = library
        self._name = name
        self._size = 0
        library.folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.NamedTemporaryFile(prefix=".upload-", dir=library.folder)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises DatasetInvalid when there are too many, DatasetUnavailable."""
        self._size += len(chunk)
        if self._size > MAX_UPLOAD_BYTES:
            raise DatasetInvalid(f"The upload is larger than {MAX_UPLOAD_BYTES} bytes.")
        try:
            self._file.write(chunk)
        except OSError as error:
            raise DatasetUnavailable(
                f"The upload could not be written: {error.strerror or error}.", "Free some disk space."
            ) from error

    def finish(self) -> DatasetReport:
        """Make a pack of what was received. Raises DatasetInvalid, DatasetUnavailable."""
        self._file.flush()
        return self._library.add(self._name, Path(self._file.name))
