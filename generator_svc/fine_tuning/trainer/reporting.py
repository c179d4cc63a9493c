"""Tells how the training goes: into the job's journal, and to the generator, which listens for life."""

import fcntl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from generator_svc.fine_tuning.job_folder import JobFolder
from generator_svc.fine_tuning.journal import JournalWriter
from generator_svc.fine_tuning.trainer.failing import TrainingFailed

ALIVE = b"{}\n"
LOCK_SECONDS = 60.0
"""A trainer of a generator that was killed has so long to notice."""


class Reporter:
    """The one who writes to a job's folder. A context manager; there is never a second one."""

    def __init__(self, folder: JobFolder, say: Callable[[bytes], object]) -> None:
        """Raises TrainingFailed, OSError."""
        self._say = say
        self._lock = folder.lock.open("w")
        self._wait_for_lock()
        self._journal = JournalWriter(folder.journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._lock.close()

    def report(self, kind: str, **data: Any) -> None:
        """Note an event. Raises OSError."""
        self._say(self._journal.write(kind, data))

    def alive(self) -> None:
        """Say that work goes on."""
        self._say(ALIVE)

    def sync(self) -> None:
        """Bring the journal to disk."""
        self._journal.sync()

    def _wait_for_lock(self) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TrainingFailed(
                        "job_busy",
                        "Another trainer works on this job.",
                        "End it, or wait for its end, and send the job again.",
                        retryable=True,
                    ) from None
                time.sleep(0.2)
