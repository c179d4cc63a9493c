"""What one attempt has used, counted from the candidate's first line, so that cold and warm starts agree.

Memory and CPU are read against what the sandbox held while the imported guest still waited for its job: no
line of the candidate can have run, whatever it does next. The peak is the highest of the readings that the
conversation takes; the kernel keeps none that leaves the page cache out.
"""

import time
from collections.abc import Callable

from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Usage

NOTHING_USED = Usage(cpu_seconds=0.0, memory_bytes=0, memory_limit_hits=0, pids_limit_hits=0)


class Meter:
    """Reads the clock and the kernel's accounts of one attempt. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.peak_memory_bytes = 0
        """Above what the waiting guest held."""
        self.peak_gpu_memory_bytes: int | None = None
        """Above what the GPU held while the guest waited."""
        self.cpu_seconds = 0.0
        self._clock = clock
        self._gpu_bytes: Callable[[], int | None] = lambda: None
        self._gpu_waiting: int | None = None
        self._requested = clock()
        self._began: float | None = None
        self._ended: float | None = None
        self._waiting = NOTHING_USED
        self._phase = Phase.STARTING
        self._cpu_at_entry: dict[Phase, float] = {}

    @property
    def startup_seconds(self) -> float:
        """From the request until the candidate's first line, or until now."""
        return (self._clock() if self._began is None else self._began) - self._requested

    @property
    def wall_seconds(self) -> float:
        """From the candidate's first line until its end, or until now; 0 before."""
        if self._began is None:
            return 0.0
        return (self._clock() if self._ended is None else self._ended) - self._began

    def look_at_gpu(self, used_bytes: Callable[[], int | None]) -> None:
        """From now on, read what the sandbox's GPU holds, too; None: it does not tell."""
        self._gpu_bytes = used_bytes

    def guest_ended(self) -> None:
        """Nothing more is heard of it: the time that the host needs to clear up is not the candidate's."""
        self._ended = self._clock()

    def pardon(self, seconds: float) -> None:
        """The host did not run for so long: nobody could see what the candidate did meanwhile."""
        if self._began is not None:
            self._began = min(self._began + seconds, self._clock())

    def guest_waits(self, usage: Usage) -> None:
        """The imported guest waits for its job: everything it holds and has spent is the platform's."""
        self._waiting = usage
        self.peak_memory_bytes, self.cpu_seconds = 0, 0.0
        self._gpu_waiting = self._gpu_bytes()

    def enter(self, phase: Phase, usage: Usage) -> None:
        """The next phase begins; the first one after STARTING is the candidate's first line."""
        if self._began is None and not phase.before_candidate:
            self._began = self._clock()
        self._phase = phase
        self.read(usage)
        self._cpu_at_entry[phase] = self.cpu_seconds

    def read(self, usage: Usage) -> None:
        """Take one reading."""
        self.cpu_seconds = max(self.cpu_seconds, usage.cpu_seconds - self._waiting.cpu_seconds)
        held = usage.memory_bytes - self._waiting.memory_bytes
        self.peak_memory_bytes = max(self.peak_memory_bytes, held)
        on_gpu = None if self._gpu_waiting is None else self._gpu_bytes()
        if on_gpu is not None and self._gpu_waiting is not None:
            self.peak_gpu_memory_bytes = max(self.peak_gpu_memory_bytes or 0, on_gpu - self._gpu_waiting)

    def cpu_seconds_in(self, phase: Phase) -> float:
        """CPU seconds of a phase, up to its end or the latest reading; 0 when it was never entered."""
        phases = list(self._cpu_at_entry)
        if phase not in phases:
            return 0.0
        later = phases[phases.index(phase) + 1 :]
        end = self._cpu_at_entry[later[0]] if later else self.cpu_seconds
        return end - self._cpu_at_entry[phase]
