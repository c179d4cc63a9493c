"""Watches the limits of one attempt: the host's clock and the kernel's accounting against what was allowed.

Memory, processes and disk are walls that the sandbox itself puts up; here only their traces are read.
"""

import time
from collections.abc import Callable

from contracts.measurements import Limits
from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Usage
from sandbox_runner.stops import Stop, StopKind

POLL_SECONDS = 0.05
"""How often the accounting is read."""


class LimitWatch:
    """Deadlines of one attempt. Made at its launch; `clock` is monotonic, in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._launched = clock()
        self._batch_sent: float | None = None

    @property
    def elapsed_seconds(self) -> float:
        """Wall seconds since launch."""
        return self._clock() - self._launched

    def batch_sent(self) -> None:
        """An evaluation batch is on its way: its answer is due within the batch limit."""
        self._batch_sent = self._clock()

    def batch_answered(self) -> None:
        """The answer is complete."""
        self._batch_sent = None

    def exceeded(self, phase: Phase, usage: Usage) -> Stop | None:
        """The limit that is exceeded now, if any. The kernel's word comes before the clock's."""
        limits, elapsed = self.limits, self.elapsed_seconds
        if usage.memory_limit_hits:
            return Stop(StopKind.MEMORY)
        if usage.cpu_seconds > limits.cpu_seconds:
            used_up = f"used up limits.cpu_seconds = {limits.cpu_seconds:g}"
            return Stop(StopKind.PHASE_TIMEOUT, used_up)
        if elapsed > limits.wall_seconds:
            return Stop(
                StopKind.WALL_TIMEOUT, f"ran longer than limits.wall_seconds = {limits.wall_seconds:g}"
            )
        if phase in {Phase.STARTING, Phase.BUILDING} and elapsed > limits.startup_seconds:
            late = f"`Net` was not built within limits.startup_seconds = {limits.startup_seconds:g}"
            return Stop(StopKind.STARTUP_TIMEOUT, late)
        if self._batch_sent is not None and self._clock() - self._batch_sent > limits.predict_batch_seconds:
            slow = f"a batch took longer than limits.predict_batch_seconds = {limits.predict_batch_seconds:g}"
            return Stop(StopKind.PHASE_TIMEOUT, slow)
        return None

    def output_exceeded(self) -> Stop:
        """More was printed than is allowed."""
        return Stop(StopKind.OUTPUT, f"printed more than limits.output_bytes = {self.limits.output_bytes}")
