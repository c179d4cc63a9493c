"""The attempts of this runner: at most as many at a time as there are slots, each in a thread of its own.

Kept in memory alone. What was lost with the process is redelivered when its lease runs out.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Event, Thread

from contracts.jobs import AttemptOutcome, AttemptSpec, AttemptStatus
from contracts.log_context import log_context
from sandbox_runner.phases import Phase

logger = logging.getLogger(__name__)

KEPT_OUTCOMES = 128
REMOVE_SECONDS = 10.0
"""A cancelled attempt is gone within about a second; this is how long a removal waits for it at most."""

Work = Callable[[AttemptSpec, Event, Callable[[Phase], None]], AttemptOutcome]


class NoFreeSlot(Exception):
    """Every slot is taken; the caller may come again."""


class FenceConflict(Exception):
    """The attempt is known here under another fence; the older must be removed first."""


class AttemptUnknown(Exception):
    """No attempt with this id, or its outcome is no longer kept."""


@dataclass
class _Entry:
    spec: AttemptSpec
    slots: int
    cancelled: Event = field(default_factory=Event)
    phase: Phase = Phase.PREPARING
    outcome: AttemptOutcome | None = None
    thread: Thread | None = None

    def status(self) -> AttemptStatus:
        state = "running" if self.outcome is None else "finished"
        return AttemptStatus(self.spec.attempt_id, state, self.phase.value, self.outcome)


class AttemptTable:
    """Starts, shows and ends attempts. Safe between threads."""

    def __init__(self, slots: int, threads_per_slot: int, work: Work) -> None:
        self.slots = slots
        self._threads_per_slot = threads_per_slot
        self._work = work
        self._entries: dict[str, _Entry] = {}
        self._free = slots
        self._changed = Condition()

    @property
    def free(self) -> int:
        """Slots that are not taken."""
        with self._changed:
            return self._free

    def slots_for(self, threads: int) -> int:
        """How many slots an attempt with so many threads takes."""
        return max(1, -(-threads // self._threads_per_slot))

    def put(self, spec: AttemptSpec) -> AttemptStatus:
        """Start an attempt; the same id and fence again change nothing. Raises NoFreeSlot, FenceConflict."""
        with self._changed:
            known = self._entries.get(spec.attempt_id)
            if known is not None:
                if known.spec.fence != spec.fence:
                    raise FenceConflict(f"{spec.attempt_id} is known with fence {known.spec.fence}")
                return known.status()
            needed = self.slots_for(spec.threads)
            if needed > self._free:
                raise NoFreeSlot(f"{needed} slots are needed and {self._free} of {self.slots} are free")
            entry = _Entry(spec, needed)
            entry.thread = Thread(
                target=self._run, args=(entry,), name=f"attempt-{spec.attempt_id}", daemon=True
            )
            try:
                entry.thread.start()  # it can end only after this block, when it gets the lock
            except RuntimeError as error:
                raise NoFreeSlot(f"no thread could be started: {error}") from error
            self._free -= needed
            self._entries[spec.attempt_id] = entry
            self._forget_oldest()
            return entry.status()

    def get(self, attempt_id: str, wait_seconds: float = 0.0) -> AttemptStatus:
        """The attempt's status, as soon as it is finished or the wait is over. Raises AttemptUnknown."""
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            while True:
                entry = self._entries.get(attempt_id)
                if entry is None:
                    raise AttemptUnknown(attempt_id)
                remaining = deadline - time.monotonic()
                if entry.outcome is not None or remaining <= 0:
                    return entry.status()
                self._changed.wait(remaining)

    def all(self) -> list[AttemptStatus]:
        """Every attempt that is known, outcomes left out."""
        with self._changed:
            known = [entry.status() for entry in self._entries.values()]
        return [AttemptStatus(status.attempt_id, status.state, status.phase) for status in known]

    def remove(self, attempt_id: str) -> None:
        """Kill the attempt if it runs, and forget it. An unknown one is removed already."""
        with self._changed:
            entry = self._entries.get(attempt_id)
            if entry is None:
                return
            entry.cancelled.set()
            self._changed.wait_for(
                lambda: entry.outcome is not None or self._entries.get(attempt_id) is not entry,
                REMOVE_SECONDS,
            )
            if self._entries.get(attempt_id) is entry:
                del self._entries[attempt_id]
            self._changed.notify_all()

    def close(self) -> None:
        """Kill everything and wait for it."""
        with self._changed:
            running = list(self._entries.values())
            for entry in running:
                entry.cancelled.set()
        for entry in running:
            if entry.thread is not None:
                entry.thread.join(REMOVE_SECONDS)

    def _run(self, entry: _Entry) -> None:
        def note(phase: Phase) -> None:
            entry.phase = phase

        outcome: AttemptOutcome | None = None
        spec = entry.spec
        about = {"request_id": spec.attempt_id, "evaluation_id": spec.evaluation_id}
        try:
            with log_context(attempt_id=spec.attempt_id, **about):
                outcome = self._work(spec, entry.cancelled, note)
        except Exception:
            logger.exception("attempt %s ended without an outcome", entry.spec.attempt_id)
        finally:
            with self._changed:
                entry.outcome = outcome
                self._free += entry.slots
                if outcome is None:
                    self._entries.pop(entry.spec.attempt_id, None)
                self._changed.notify_all()

    def _forget_oldest(self) -> None:
        finished = [key for key, entry in self._entries.items() if entry.outcome is not None]
        for key in finished[: max(0, len(finished) - KEPT_OUTCOMES)]:
            del self._entries[key]
