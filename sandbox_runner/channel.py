"""The host's end of the guest's pipes: bytes in and out, frames checked against what is expected now.

Everything that comes in is hostile. A header of the wrong kind or length is refused before its payload is
read, so what is held in memory never exceeds one expected frame and one read.
"""

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.guest_wire import HEADER, FrameKind, decode_header

READ_BYTES = 64 * 1024


class FrameMalformed(Exception):
    """The guest sent something else than what it was to send. `str(error)` says what."""


@dataclass(frozen=True)
class Frame:
    """One checked frame of the guest."""

    kind: FrameKind
    payload: bytes


@dataclass(frozen=True)
class Lengths:
    """Allowed payload lengths in bytes, both ends included."""

    least: int
    most: int


class Inbox:
    """Bytes received and not yet taken as frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, chunk: bytes) -> None:
        """Take in what was read."""
        self._bytes += chunk

    def take(self, expected: Mapping[FrameKind, Lengths]) -> Frame | None:
        """The next frame, or None while it is incomplete. Raises FrameMalformed."""
        if len(self._bytes) < HEADER.size:
            return None
        kind, length = decode_header(bytes(self._bytes[: HEADER.size]))
        allowed = expected.get(kind)  # type: ignore[call-overload]
        names = " or ".join(known.name for known in expected)
        if allowed is None:
            raise FrameMalformed(f"frame kind {kind} instead of {names}")
        if not allowed.least <= length <= allowed.most:
            due = f"{allowed.least} to {allowed.most}"
            raise FrameMalformed(f"a frame {FrameKind(kind).name} of {length} bytes instead of {due}")
        end = HEADER.size + length
        if len(self._bytes) < end:
            return None
        payload = bytes(self._bytes[HEADER.size : end])
        del self._bytes[:end]
        return Frame(FrameKind(kind), payload)


class Outbox:
    """Frames on their way to the guest, written as its pipe takes them."""

    def __init__(self) -> None:
        self._pending: deque[memoryview] = deque()

    def __bool__(self) -> bool:
        return bool(self._pending)

    def put(self, frame: bytes) -> None:
        """Queue one frame."""
        self._pending.append(memoryview(frame))

    def clear(self) -> None:
        """Forget what was not sent: nobody will read it."""
        self._pending.clear()

    def write_to(self, descriptor: int) -> None:
        """Write what the pipe takes without waiting. Raises OSError when nobody reads any more."""
        while self._pending:
            try:
                written = os.write(descriptor, self._pending[0])
            except BlockingIOError:
                return
            self._pending[0] = self._pending[0][written:]
            if not self._pending[0]:
                self._pending.popleft()


def read_available(descriptor: int) -> bytes | None:
    """What can be read now, at most READ_BYTES: b"" at the end of the stream, None when there is nothing."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
