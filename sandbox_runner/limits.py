"""Holds one attempt to its limits: the host's clock and the kernel's accounting against what was allowed.

Memory, processes and disk are walls that the sandbox itself puts up; here only their traces are read. Until
the candidate's first line nothing is charged to it: there the platform's own start limit holds.
"""

import time
from collections.abc import Callable

from contracts.measurements import Limits
from sandbox_runner.metering import Meter
from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Usage
from sandbox_runner.stops import Stop, StopKind

POLL_SECONDS = 0.05
"""How often the accounting is read."""
PLATFORM_START_SECONDS = 120.0
"""A guest that does not wait for its job by then is slow by the platform's fault; some 3 s are usual."""


class LimitWatch:
    """The limits of one attempt against its meter. `clock` is monotonic, in seconds."""

    def __init__(self, limits: Limits, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.meter = meter
        self._clock = clock
        self._batch_sent: float | None = None

    def pardon(self, seconds: float) -> None:
        """This process was stopped or starved for so long: no clock runs against the candidate meanwhile.

        Its CPU seconds bind all the same, so that nothing is won by slowing the host down.
        """
        self.meter.pardon(seconds)
        if self._batch_sent is not None:
            self._batch_sent = min(self._batch_sent + seconds, self._clock())

    def batch_sent(self) -> None:
        """An evaluation batch is on its way: its answer is due within the batch limit."""
        self._batch_sent = self._clock()

    def batch_answered(self) -> None:
        """The answer is complete."""
        self._batch_sent = None

    def exceeded(self, phase: Phase, usage: Usage) -> Stop | None:
        """The limit that is exceeded now, if any. The kernel's word comes before the clock's."""
        self.meter.read(usage)
        limits, elapsed = self.limits, self.meter.wall_seconds
        if usage.memory_limit_hits:
            return Stop(StopKind.MEMORY)
        if phase.before_candidate:
            return self._late()
        if self.meter.cpu_seconds > limits.cpu_seconds:
            used_up = f"used up limits.cpu_seconds = {limits.cpu_seconds:g}"
            return Stop(StopKind.PHASE_TIMEOUT, used_up)
        if elapsed > limits.wall_seconds:
            return Stop(
                StopKind.WALL_TIMEOUT, f"ran longer than limits.wall_seconds = {limits.wall_seconds:g}"
            )
        if phase is Phase.BUILDING and elapsed > limits.startup_seconds:
            late = f"`Net` was not built within limits.startup_seconds = {limits.startup_seconds:g}"
            return Stop(StopKind.PHASE_TIMEOUT, late)
        if self._batch_sent is not None and self._clock() - self._batch_sent > limits.predict_batch_seconds:
            slow = f"a batch took longer than limits.predict_batch_seconds = {limits.predict_batch_seconds:g}"
            return Stop(StopKind.PHASE_TIMEOUT, slow)
        return None

    def output_exceeded(self) -> Stop:
        """More was printed than is allowed."""
        return Stop(StopKind.OUTPUT, f"printed more than limits.output_bytes = {self.limits.output_bytes}")

    def _late(self) -> Stop | None:
        seconds = self.meter.startup_seconds
        if seconds <= PLATFORM_START_SECONDS:
            return None
        return Stop(StopKind.PHASE_TIMEOUT, f"the guest was not ready after {seconds:.0f} s")
