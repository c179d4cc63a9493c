"""Carries one sandbox's bytes between the engine's attached stream and three pipes, in a thread of its own.

The engine multiplexes the container's stdout and stderr (8 bytes of header, then the payload); stdout in turn
carries the frames of `process_one`. Everything behind the engine's own headers is hostile: a frame that is
none ends the sandbox, and nothing in a frame is trusted beyond a word and a number.
"""

import os
import re
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from sandbox_runner.sandboxes.docker import process_one
from sandbox_runner.sandboxes.port import Exit

ENGINE_HEADER = struct.Struct(">BxxxI")
STDOUT, STDERR = 1, 2
CHUNK_BYTES = 65_536
MOST_WAITING_BYTES = 1 << 20
"""So much is held for each pipe; then the stream is not read any further until somebody reads the pipe."""
MAX_FRAME_BYTES = process_one.CHUNK_BYTES
MAX_COMPLAINT_BYTES = 2000
REPORT = re.compile(r"(exited|signalled) ([0-9]{1,3})")


class FrameBroken(Exception):
    """The stream holds something that process 1 does not write."""


class Deframer:
    """Cuts a stream of frames into kind and payload. Feed it in any portions."""

    def __init__(self, header: struct.Struct, max_bytes: int) -> None:
        self._header = header
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes | int, bytes]]:
        """The frames that are complete by now. Raises FrameBroken on a length beyond the limit."""
        self._buffer += chunk
        start = self._header.size
        while len(self._buffer) >= start:
            kind, length = self._header.unpack_from(self._buffer)
            if length > self._max_bytes:
                raise FrameBroken(f"a frame of {length} bytes")
            if len(self._buffer) < start + length:
                return
            payload = bytes(self._buffer[start : start + length])
            del self._buffer[: start + length]
            yield kind, payload


class Sink:
    """The launcher's end of a pipe that the runner reads, and what waits to be written into it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor: int | None = descriptor
        self.waiting = bytearray()
        self._ends = False

    def put(self, payload: bytes) -> None:
        """Queue a payload; an empty one says that nothing follows."""
        if self.descriptor is not None and not self._ends:
            self.waiting += payload
        self._ends = self._ends or not payload

    def flush(self) -> None:
        """Write what the pipe takes, and close it behind the last byte."""
        if self.descriptor is None:
            return
        if self.waiting:
            try:
                del self.waiting[: os.write(self.descriptor, self.waiting[:CHUNK_BYTES])]
            except BlockingIOError:
                return
            except OSError:
                self.close()  # Nobody reads any more.
                return
        if self._ends and not self.waiting:
            self.close()

    def close(self) -> None:
        """Give up the pipe and what waits for it. Idempotent."""
        self.waiting.clear()
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class Relay:
    """The stream and the pipes of one sandbox. What it has learnt may be read from any thread."""

    def __init__(self, stream: socket.socket, first_bytes: bytes) -> None:
        """`first_bytes` go into the container's stdin before anything else, once `let_in` is called.

        The stream is the relay's from now on. Raises OSError, and leaves nothing open then.
        """
        self.started = threading.Event()
        """Set when process 1 has said how the start went, or will never say it."""
        self.failure = ""
        """Why the guest was not started; empty when it was, or when nothing was said."""
        self.crowded = False
        """As many tasks as may be were seen at a time, where no control group counts refused forks."""
        self.ended: Exit | None = None
        """How the guest ended; known only when everything that it wrote has been handed over."""
        self.broken = False
        """Process 1 wrote what it never writes: somebody has taken its place."""
        self.lost = threading.Event()
        """The stream is over without a report of the guest's end."""
        self.complaint = ""
        """What came on the container's stderr: words of the runtime, or of a process 1 that failed."""
        self._stream = stream
        self._stream.setblocking(False)
        self._inward = bytearray(first_bytes)
        self._lets_in = False
        with ExitStack() as undo:
            undo.callback(stream.close)
            self._from_host, self.to_guest = _open_pipe(undo)
            self.from_guest, answers = _open_pipe(undo)
            self.output, output = _open_pipe(undo)
            self._woken, self._wake = _open_pipe(undo)
            undo.pop_all()
        self._sinks = {process_one.ANSWERS: Sink(answers), process_one.OUTPUT: Sink(output)}
        self._engine_frames = Deframer(ENGINE_HEADER, 1 << 24)
        self._frames = Deframer(process_one.HEADER, MAX_FRAME_BYTES)
        self._reported: Exit | None = None
        self._host_gone = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="sandbox-relay", daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def let_in(self) -> None:
        """Begin to write into the container's stdin."""
        self._lets_in = True
        os.write(self._wake, b"x")

    def close_host_ends(self) -> None:
        """Leave them to the runner. Idempotent."""
        for name in ("to_guest", "from_guest", "output"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def hang_up(self) -> None:
        """End the stream: process 1 leaves when it notices, and an engine that waits for us goes on."""
        self._stopped = True
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            os.write(self._wake, b"x")

    def close(self) -> None:
        """Hang up, and free everything when the thread has ended. Call once."""
        self.hang_up()
        if self._thread.ident is not None:
            self._thread.join()
        self.close_host_ends()
        self._stream.close()
        for descriptor in (self._from_host, self._woken, self._wake):
            os.close(descriptor)
        for sink in self._sinks.values():
            sink.close()

    def _run(self) -> None:
        try:
            while not self._stopped and self._turn():
                pass
        except FrameBroken:
            self.broken = True
        finally:
            self._flush()
            for sink in self._sinks.values():
                sink.close()
            if self.ended is None:
                self.lost.set()
            self.started.set()

    def _turn(self) -> bool:
        """Wait for anything, and deal with it. False when the stream is over."""
        waiting = select.poll()
        crowded = any(len(sink.waiting) >= MOST_WAITING_BYTES for sink in self._sinks.values())
        wanted = 0 if crowded else select.POLLIN
        waiting.register(self._stream, wanted | (select.POLLOUT if self._inward and self._lets_in else 0))
        waiting.register(self._woken, select.POLLIN)
        if len(self._inward) < MOST_WAITING_BYTES and not self._host_gone:
            waiting.register(self._from_host, select.POLLIN)
        for sink in self._sinks.values():
            if sink.waiting and sink.descriptor is not None:
                waiting.register(sink.descriptor, select.POLLOUT)
        ready = dict(waiting.poll())
        if self._woken in ready:
            os.read(self._woken, CHUNK_BYTES)
        if self._from_host in ready:
            self._take_from_host()
        alive = self._serve_stream(ready.get(self._stream.fileno(), 0), bool(wanted))
        self._flush()
        return alive

    def _serve_stream(self, events: int, may_read: bool) -> bool:
        """Write to the stream and read from it. False when it is over."""
        try:
            if events & select.POLLOUT:
                del self._inward[: self._stream.send(self._inward[:CHUNK_BYTES])]
            if may_read and events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                chunk = self._stream.recv(CHUNK_BYTES)
                self._take_from_engine(chunk)
                return bool(chunk)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return may_read or not events & (select.POLLHUP | select.POLLERR)

    def _take_from_host(self) -> None:
        chunk = os.read(self._from_host, CHUNK_BYTES)
        self._inward += chunk
        self._host_gone = not chunk

    def _take_from_engine(self, chunk: bytes) -> None:
        for channel, payload in self._engine_frames.feed(chunk):
            if channel == STDERR:
                said = self.complaint + payload.decode(errors="replace")
                self.complaint = said[-MAX_COMPLAINT_BYTES:]
            elif channel == STDOUT:
                for kind, carried in self._frames.feed(payload):
                    self._take_frame(kind, carried)

    def _take_frame(self, kind: bytes | int, payload: bytes) -> None:
        if kind in self._sinks and self._reported is None:
            self._sinks[bytes(kind)].put(payload)
        elif kind == process_one.REPORT:
            self._take_report(payload.decode(errors="replace"))
        else:
            raise FrameBroken(f"a frame of kind {kind!r}")

    def _take_report(self, text: str) -> None:
        ending = REPORT.fullmatch(text)
        if ending is not None and self.started.is_set() and self._reported is None:
            number = int(ending[2])
            self._reported = Exit(number, None) if ending[1] == "exited" else Exit(None, number)
            for sink in self._sinks.values():
                sink.put(b"")
        elif text == "crowded":
            self.crowded = True
        elif text == "started" and not self.started.is_set():
            self.started.set()
        elif text.startswith("failed ") and not self.started.is_set():
            self.failure = text.removeprefix("failed ")
            self.started.set()
        else:
            raise FrameBroken("a report that is none")

    def _flush(self) -> None:
        for sink in self._sinks.values():
            sink.flush()
        if self._reported is not None and all(sink.descriptor is None for sink in self._sinks.values()):
            self.ended = self._reported


def _open_pipe(undo: ExitStack) -> tuple[int, int]:
    """Its reading end and its writing end, which `undo` closes. Raises OSError."""
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    for end in ends:
        undo.callback(os.close, end)
    return ends
