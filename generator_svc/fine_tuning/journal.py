"""A job's journal: one JSON line for whatever happens, appended; a line that was cut off never happened."""

import errno
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contracts.fine_tuning import FineTuneEvent

Json = dict[str, Any]


def now(seconds: float = 0.0) -> str:
    """The time, as RFC 3339 has it; so many `seconds` from now."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JournalWriter:
    """Appends to a journal. There is one at a time: the trainer while it runs, else the desk."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("ab", buffering=0)
        _cut_torn_line(path)

    def write(self, kind: str, data: Json) -> bytes:
        """Append an event and give its line. Raises OSError."""
        line = json.dumps({"at": now(), "kind": kind, "data": data}, separators=(",", ":")).encode() + b"\n"
        if self._file.write(line) != len(line):  # so a disk that has just become full begins to say so
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return line

    def sync(self) -> None:
        """Bring everything to disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _cut_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


MARK_EVERY = 256
"""Events: so many lines at most are read again by somebody who begins where another reader has been."""


class JournalReader:
    """Reads a journal that may grow meanwhile, each event once."""

    def __init__(self, path: Path, after: int = 0) -> None:
        """`after` is the sequence number of the last event that is known already."""
        self._path = path
        self._after = after
        self._sequence = 0
        self._offset = 0
        self._marks = [0]
        """Where each MARK_EVERY-th line begins."""

    def after(self, sequence: int) -> "JournalReader":
        """One that tells what follows an event, and where this one has been reads from near there alone."""
        mark = min(sequence // MARK_EVERY, len(self._marks) - 1)
        reader = JournalReader(self._path, sequence)
        reader._sequence, reader._offset = mark * MARK_EVERY, self._marks[mark]
        reader._marks = self._marks[: mark + 1]
        return reader

    def new_events(self) -> Iterator[FineTuneEvent]:
        """What was written since the last call; nothing where there is no journal."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    self._offset += len(line)
                    self._sequence += 1
                    if self._sequence % MARK_EVERY == 0:
                        self._marks.append(self._offset)
                    if self._sequence > self._after:
                        yield _event(self._sequence, line)
        except FileNotFoundError:
            return


def _event(sequence: int, line: bytes) -> FineTuneEvent:
    record = json.loads(line)
    return FineTuneEvent(sequence, record["at"], record["kind"], record["data"])
