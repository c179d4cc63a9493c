"""A request body of many lines: bounded and looked at as it comes, kept in a file, read again from there.

While it comes in nothing goes out, so that whatever is wrong with a line can be said with a status, and
client and service never wait for each other to read. The file has no name and ends with the process.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from contracts.problems import problem
from filter_svc.request_checks import Refused

MAX_LINES = 20_000
MAX_LINE_BYTES = 512 * 1024
"""One source with JSON's escapes."""
MAX_BODY_BYTES = 128 * 1024 * 1024
"""All of LEMUR has 45 MB."""

Check = Callable[[int, bytes], None]
"""Looks at a line, given its number from 1. Raises Refused."""


class LineSpool:
    """Lines on their way in, and then out in the same order."""

    def __init__(self, folder: Path, check: Check) -> None:
        """Make room on the disk of `folder`. Raises OSError."""
        self.lines = 0
        """How many there are, blank ones apart."""
        self._check = check
        self._bytes = 0
        self._number = 0
        self._unfinished = bytearray()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it outlives this call

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises Refused, OSError."""
        self._bytes += len(chunk)
        if self._bytes > MAX_BODY_BYTES:
            raise _too_large(f"The request body has more than {MAX_BODY_BYTES} bytes.", "body")
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._unfinished += piece
            self._end_line()
        self._unfinished += rest
        self._check_length()

    def end(self) -> None:
        """The body is complete; its last line may lack a newline. Raises Refused, OSError."""
        self._end_line()
        self._file.flush()

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return iter(self._file)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # on a full disk closing writes once more, in vain
            self._file.close()

    def _end_line(self) -> None:
        self._check_length()
        line = bytes(self._unfinished)
        self._unfinished.clear()
        self._number += 1
        if not line.strip():
            return
        self.lines += 1
        if self.lines > MAX_LINES:
            raise _too_large(f"The request body has more than {MAX_LINES} lines.", "body")
        self._check(self._number, line)
        self._file.write(line + b"\n")

    def _check_length(self) -> None:
        if len(self._unfinished) > MAX_LINE_BYTES:
            number = self._number + 1
            raise _too_large(f"Line {number} has more than {MAX_LINE_BYTES} bytes.", f"lines.{number}")


def _too_large(detail: str, field: str) -> Refused:
    remedy = (
        f"Send at most {MAX_LINES} lines of at most {MAX_LINE_BYTES} bytes, {MAX_BODY_BYTES} bytes in all."
    )
    return Refused(problem(413, "body_too_large", detail, field=field, remedy=remedy))
