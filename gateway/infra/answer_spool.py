"""Keeps the lines of a long answer until its client has read them: who makes them waits for no client.

They lie in a file without a name, which ends with the process, however that ends.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = 64 * 1024


class AnswerSpool:
    """One thread adds, another reads. Raises OSError on a full disk."""

    def __init__(self, folder: Path) -> None:
        """The file lies on the disk of `folder`."""
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - it outlives this call
        self._news = threading.Condition()
        self._size = 0
        self._last: bytes | None = None

    def add(self, lines: bytes) -> None:
        """Keep more. The reader sees all of it or none."""
        if not lines:
            return
        rest = memoryview(lines)
        while rest:
            written = os.pwrite(self._file.fileno(), rest, self._size + len(lines) - len(rest))
            rest = rest[written:]
        with self._news:
            self._size += len(lines)
            self._news.notify_all()

    def end(self, last: bytes = b"") -> None:
        """Nothing more comes but `last`, which takes no room on the disk."""
        with self._news:
            self._last = last
            self._news.notify_all()

    def pages(self) -> Iterator[bytes]:
        """What was added, some at a time, up to the end, which is waited for. Nothing is held between two."""
        read = 0
        while True:
            with self._news:
                while self._size == read and self._last is None:
                    self._news.wait()
                size, last = self._size, self._last
            if read < size:
                page = os.pread(self._file.fileno(), min(PAGE_BYTES, size - read), read)
                read += len(page)
                yield page
            elif last is not None:
                if last:
                    yield last
                return

    def close(self) -> None:
        """Let go of the file, once nobody adds or reads."""
        self._file.close()
