"""The host's conversation with one guest: one selector loop that watches everything at once.

Each call waits for one thing, and while it waits, log output is captured, limits are enforced, and the end of
the process is noticed. Whatever ends the conversation is raised as GuestStopped. Nothing is judged here.
"""

import contextlib
import selectors
import time
from collections.abc import Callable, Mapping
from threading import Event
from types import TracebackType
from typing import Self

from contracts.guest_wire import MAX_FAILURE_BYTES, FrameKind, encode_frame
from sandbox_runner.channel import Frame, FrameMalformed, Inbox, Lengths, Outbox, read_available
from sandbox_runner.limits import POLL_SECONDS, LimitWatch
from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Sandbox
from sandbox_runner.stops import GuestStopped, Stop, StopKind
from sandbox_runner.untrusted_text import BoundedLog

FINISH_GRACE_SECONDS = 2.0
"""After FINISH a guest may take this long to leave; then it is killed, and its answers stand."""
HANG_UP_GRACE_SECONDS = 1.0
"""A guest that has closed its channel must end within this time."""
STALL_SECONDS = 2.0
"""Looks that lie further apart than this tell that the runner itself was stopped or starved."""
DRAIN_READS = 1024
"""So often at most a pipe is read after the end: more than any pipe holds."""


class Conversation:
    """Speaks with the guest of one sandbox; a context manager that leaves the sandbox killed, not closed."""

    def __init__(
        self,
        sandbox: Sandbox,
        watch: LimitWatch,
        cancelled: Event,
        on_phase: Callable[[Phase], None],
    ) -> None:
        self.log = BoundedLog()
        self.watch = watch
        self.phase = Phase.STARTING
        self._sandbox = sandbox
        self._cancelled = cancelled
        self._on_phase = on_phase
        self._selector = selectors.DefaultSelector()
        self._inbox = Inbox()
        self._outbox = Outbox()
        self._next_poll = 0.0
        self._looked_at = time.monotonic()
        self._hung_up_at: float | None = None
        self._ended = False

    def __enter__(self) -> Self:
        self._selector.register(self._sandbox.from_guest, selectors.EVENT_READ, self._receive)
        self._selector.register(self._sandbox.output, selectors.EVENT_READ, self._capture)
        self._on_phase(self.phase)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sandbox.kill()
        with contextlib.suppress(GuestStopped):
            self._drain(self._sandbox.output, self._capture)
        self._selector.close()

    def enter(self, phase: Phase) -> None:
        """Go on to the next phase."""
        self.phase = phase
        usage = self._sandbox.usage()
        self._pardon_a_pause()
        self.watch.meter.enter(phase, usage)
        self._on_phase(phase)

    def greet(self) -> None:
        """Hear that the guest is imported and waits; what it holds now is not its candidate's."""
        self.hear(FrameKind.IMPORTED, Lengths(0, 0))
        self.watch.meter.guest_waits(self._sandbox.usage())

    def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        """Queue one frame; it is written while the next call waits."""
        self._outbox.put(encode_frame(kind, payload))
        if self._sandbox.to_guest not in self._selector.get_map():
            self._selector.register(self._sandbox.to_guest, selectors.EVENT_WRITE, self._write)

    def hear(self, kind: FrameKind, lengths: Lengths) -> bytes:
        """Wait for the one frame that is due and return its payload. Raises GuestStopped."""
        expected: Mapping[FrameKind, Lengths] = {
            kind: lengths,
            FrameKind.FAILED: Lengths(0, MAX_FAILURE_BYTES),
        }
        while True:
            frame = self._take(expected)
            if frame is not None and frame.kind is FrameKind.FAILED:
                raise GuestStopped(Stop(StopKind.FAILED, payload=frame.payload))
            if frame is not None:
                return frame.payload
            if self._ended:
                raise GuestStopped(Stop(StopKind.EXITED))
            self._pump()

    def ask(self, pixels: bytes, answer_bytes: int) -> bytes:
        """Send one batch and wait for its full answer; nothing may follow it. Raises GuestStopped."""
        self.expect_silence()
        self.watch.batch_sent()
        self.send(FrameKind.BATCH, pixels)
        answer = self.hear(FrameKind.LOGITS, Lengths(answer_bytes, answer_bytes))
        self.watch.batch_answered()
        if self._outbox:
            raise _malformed("an answer arrived before its whole batch was sent")
        return answer

    def expect_silence(self) -> None:
        """It is the host's turn: a guest that has sent anything more is malformed. Raises GuestStopped."""
        self._receive()
        if len(self._inbox):
            raise _malformed("bytes that nobody asked for, after a complete answer")

    def finish(self) -> None:
        """Say FINISH and wait a short while for the end; any further byte is surplus. Raises GuestStopped."""
        self.enter(Phase.FINISHING)
        self.send(FrameKind.FINISH)
        deadline = time.monotonic() + FINISH_GRACE_SECONDS
        while not self._ended and time.monotonic() < deadline:
            self.expect_silence()
            self._pump()
        if not self._ended:
            self._settle()
        self.expect_silence()

    def _take(self, expected: Mapping[FrameKind, Lengths]) -> Frame | None:
        try:
            return self._inbox.take(expected)
        except FrameMalformed as error:
            raise _malformed(str(error)) from error

    def _pump(self) -> None:
        """Wait for anything to happen, for one poll interval at most, and deal with it."""
        for key, _ in self._selector.select(POLL_SECONDS):
            key.data()
        self._pardon_a_pause()
        if self._looked_at >= self._next_poll:
            self._next_poll = self._looked_at + POLL_SECONDS
            self._check()

    def _pardon_a_pause(self) -> None:
        """Take off the clocks what has passed since the last look, where the host itself stood still."""
        now = time.monotonic()
        pause, self._looked_at = now - self._looked_at, now
        if pause > STALL_SECONDS:
            self.watch.pardon(pause)
            if self._hung_up_at is not None:
                self._hung_up_at = min(self._hung_up_at + pause, now)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise GuestStopped(Stop(StopKind.CANCELLED))
        if self._sandbox.exit() is not None:
            self._settle()
            return
        exceeded = self.watch.exceeded(self.phase, self._sandbox.usage())
        if exceeded is not None:
            raise GuestStopped(exceeded)
        if self._hung_up_at is not None and self._looked_at - self._hung_up_at > HANG_UP_GRACE_SECONDS:
            raise _malformed("the result channel was closed")

    def _settle(self) -> None:
        """The first process has ended: end the others, then take in what is still in the pipes."""
        self.watch.meter.guest_ended()
        self._sandbox.kill()
        self._drain(self._sandbox.output, self._capture)
        self._drain(self._sandbox.from_guest, self._receive)
        self._ended = True

    def _drain(self, descriptor: int, read: Callable[[], bool]) -> None:
        if descriptor not in self._selector.get_map():
            return
        for _ in range(DRAIN_READS):
            if not read():
                return

    def _receive(self) -> bool:
        """Read once from the result channel; False when there was nothing."""
        if self._hung_up_at is not None:
            return False
        chunk = read_available(self._sandbox.from_guest)
        if chunk:
            self._inbox.feed(chunk)
        elif chunk is not None:
            self._hung_up_at = time.monotonic()
            self._selector.unregister(self._sandbox.from_guest)
        return bool(chunk)

    def _capture(self) -> bool:
        """Read once from stdout and stderr; False when there was nothing. Raises GuestStopped."""
        chunk = read_available(self._sandbox.output)
        if chunk:
            self.log.append(chunk)
        elif chunk is not None:
            self._selector.unregister(self._sandbox.output)
        if self.log.total_bytes > self.watch.limits.output_bytes:
            raise GuestStopped(self.watch.output_exceeded())
        return bool(chunk)

    def _write(self) -> None:
        try:
            self._outbox.write_to(self._sandbox.to_guest)
        except OSError:
            self._outbox.clear()  # Nobody reads any more; the end of the process or of the channel will tell.
        if not self._outbox:
            self._selector.unregister(self._sandbox.to_guest)


def _malformed(message: str) -> GuestStopped:
    return GuestStopped(Stop(StopKind.MALFORMED, message))
