"""Asks everything that evaluations need whether it is there, all at once and never waiting long."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PATIENCE_SECONDS = 3.0
"""A part that does not answer within this time is not ready."""
YOUNG_SECONDS = 10.0
FRESH_SECONDS = 1.0
"""For so long an answer is given again: whoever asks more often wears nothing out."""

Probe = Callable[[], list[str]]
"""Gives what is wrong, in sentences; nothing when all is well."""


@dataclass(frozen=True)
class Check:
    """How one part is."""

    name: str
    problems: tuple[str, ...]
    seconds: float
    """How long it took to find out."""


class Readiness:
    """Runs the probes, each in a thread of its own. Thread-safe."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        patience_seconds: float = PATIENCE_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self.fresh_seconds = fresh_seconds
        self._patience = patience_seconds
        self._asking = threading.Lock()
        self._questions = {name: _Question(name, probe) for name, probe in probes.items()}
        self._checks: tuple[Check, ...] = ()
        self._asked_at = float("-inf")

    def checks(self) -> tuple[Check, ...]:
        """One line for each part, in the order of the probes.

        While somebody waits for the answers others are given those before, if these are young: else a crowd
        would wait with him, in all the threads that there are, for a part that does not answer.
        """
        is_young = time.monotonic() - self._asked_at < YOUNG_SECONDS
        if not self._asking.acquire(blocking=not is_young):
            return self._checks
        try:
            if time.monotonic() - self._asked_at >= self.fresh_seconds:
                for question in self._questions.values():
                    question.ask()
                deadline = time.monotonic() + self._patience
                self._checks = tuple(question.answer(deadline) for question in self._questions.values())
                self._asked_at = time.monotonic()
            return self._checks
        finally:
            self._asking.release()


class _Question:
    """One probe. While it hangs it is not asked again, so no threads pile up."""

    def __init__(self, name: str, probe: Probe) -> None:
        self._name = name
        self._probe = probe
        self._thread: threading.Thread | None = None
        self._begin = 0.0
        self._check: Check | None = None

    def ask(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._check = None
        self._begin = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"probe {self._name}", daemon=True)
        self._thread.start()

    def answer(self, deadline: float) -> Check:
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        waited = time.monotonic() - self._begin
        return self._check or Check(self._name, (f"it has not answered for {waited:.1f} s",), waited)

    def _run(self) -> None:
        try:
            problems = tuple(self._probe())
        except Exception as error:  # noqa: BLE001 - whatever it is, this part is not ready
            problems = (f"{type(error).__name__}: {error}"[:500],)
        self._check = Check(self._name, problems, time.monotonic() - self._begin)
