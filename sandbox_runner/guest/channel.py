"""The guest's end of the two pipes: whole frames in, whole frames out. Knows nothing of their meaning."""

import json
import os
from typing import Any

from contracts.guest_wire import (
    GUEST_READ_FD,
    GUEST_WRITE_FD,
    HEADER,
    MAX_JOB_BYTES,
    FrameKind,
    decode_header,
    encode_frame,
)


class HostGone(Exception):
    """The host closed its end: there is nobody left to work for."""


class HostChannel:
    """Blocking frames over two inherited descriptors, kept from programs that the candidate may start."""

    def __init__(self, read_fd: int = GUEST_READ_FD, write_fd: int = GUEST_WRITE_FD) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        for descriptor in (read_fd, write_fd):
            os.set_inheritable(descriptor, False)

    def read_job(self) -> dict[str, Any]:
        """The first frame of the host. Raises HostGone."""
        kind, payload = self.read()
        if kind != FrameKind.JOB or len(payload) > MAX_JOB_BYTES:
            raise HostGone(f"expected a job, got frame {kind}")
        job = json.loads(payload)
        if not isinstance(job, dict):
            raise HostGone("the job is not an object")
        return job

    def read(self) -> tuple[int, bytearray]:
        """Kind and payload of the next frame. Raises HostGone."""
        kind, length = decode_header(bytes(self._read_exactly(HEADER.size)))
        return kind, self._read_exactly(length)

    def write(self, kind: FrameKind, payload: bytes = b"") -> None:
        """Send one frame. Raises HostGone."""
        pending = memoryview(encode_frame(kind, payload))
        try:
            while pending:
                pending = pending[os.write(self._write_fd, pending) :]
        except OSError as error:
            raise HostGone(str(error)) from error

    def write_json(self, kind: FrameKind, document: dict[str, Any]) -> None:
        """Send one frame whose payload is JSON."""
        self.write(kind, json.dumps(document).encode())

    def _read_exactly(self, length: int) -> bytearray:
        received = bytearray(length)
        view = memoryview(received)
        filled = 0
        while filled < length:
            count = os.readv(self._read_fd, [view[filled:]])
            if count == 0:
                raise HostGone("the host closed its pipe")
            filled += count
        return received
