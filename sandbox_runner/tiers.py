"""Which isolation tiers hold on this host now: proved at start, and again whenever there is reason to doubt.

A backend in which the platform failed is not used until its probe has passed again; one that never passed is
tried again from time to time, so that what an operator mends is noticed without a restart
(docs/architecture.md, promise 5).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from threading import Condition, Event, Thread

from contracts.jobs import BEING_PROVEN, BackendReport
from contracts.names import IsolationTier
from sandbox_runner.sandboxes.choice import ProbedBackend, probe_all, reports, strongest
from sandbox_runner.sandboxes.port import SandboxBackend, SandboxSpec, SandboxUnavailable
from sandbox_runner.sandboxes.probe import ENVIRONMENT
from sandbox_runner.starts import Starts

logger = logging.getLogger(__name__)

PROBE_AGAIN_SECONDS = 60.0
DOUBTED = f"it failed in an attempt and is {BEING_PROVEN} again"


class Tiers:
    """All backends of one runner, weakest to strongest, and how attempts start on them."""

    def __init__(
        self,
        backends: Sequence[SandboxBackend],
        most_waiting: int,
        minimum: IsolationTier,
        usual: Callable[[], SandboxSpec],
    ) -> None:
        """Below `minimum` nothing runs. Sandboxes like `usual()` wait for the first request."""
        self._backends = backends
        self._minimum = minimum
        self._usual = usual
        self._starts = {
            backend.name: Starts(backend, most_waiting, on_trouble=partial(self._doubt, backend.name))
            for backend in backends
        }
        self._known: tuple[ProbedBackend, ...] = ()
        self._changed = Condition()
        self._stopped = False
        self._probed = Event()
        self._prober = Thread(target=self._probe_for_ever, name="probe", daemon=True)

    def start(self) -> None:
        """Begin to prove the backends."""
        self._prober.start()

    def stop(self) -> None:
        """End the waiting sandboxes and free what the backends hold."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        for starts in self._starts.values():
            starts.close()
        for backend in self._backends:
            backend.close()

    def reports(self) -> tuple[BackendReport, ...]:
        """What every tier has to say now."""
        if self._probed.is_set():
            return reports(self._known)
        return tuple(
            BackendReport(backend.name, backend.tier, False, (f"it is {BEING_PROVEN}",))
            for backend in self._backends
        )

    def reasons_not_ready(self) -> list[str]:
        """Why nothing can run here; empty when something can."""
        if not self._probed.is_set():
            return ["the sandbox backends are being probed"]
        try:
            self.starts(self._minimum)
        except SandboxUnavailable as error:
            return [str(error)]
        return []

    def strongest(self) -> IsolationTier | None:
        """The strongest tier that holds now; None when none does that is strong enough."""
        try:
            return self.starts(self._minimum).backend.tier
        except SandboxUnavailable:
            return None

    def environment_digest(self) -> str | None:
        """What guests run on in the strongest backend that holds now; None when nobody can tell."""
        try:
            return self.starts(self._minimum).environment_digest or None
        except SandboxUnavailable:
            return None

    def starts(self, minimum: IsolationTier) -> Starts:
        """How to start on the strongest backend that holds. Raises SandboxUnavailable."""
        least = max(minimum, self._minimum, key=lambda tier: tier.strength)
        return self._starts[strongest(self._known, least).name]

    def waiting(self) -> int:
        """How many sandboxes wait for an attempt, fully imported."""
        return sum(starts.waiting() for starts in self._starts.values())

    def _doubt(self, name: str) -> None:
        """The platform failed there: nothing more runs in it until it has passed again."""
        with self._changed:
            self._known = tuple(
                replace(one, report=replace(one.report, available=False, problems=(DOUBTED,)))
                if one.backend.name == name and one.report.available
                else one
                for one in self._known
            )
            self._changed.notify()

    def _probe_for_ever(self) -> None:
        due: Sequence[SandboxBackend] = self._backends
        while not self._stopped:
            self._probe(due)
            self._probed.set()
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._doubted(), PROBE_AGAIN_SECONDS)
                due = self._doubted() or [one.backend for one in self._known if not one.report.available]

    def _doubted(self) -> list[SandboxBackend]:
        return [one.backend for one in self._known if one.report.problems == (DOUBTED,)]

    def _probe(self, backends: Sequence[SandboxBackend]) -> None:
        """Prove some backends, and let guests of the usual kind wait on the strongest of all."""
        try:
            found = probe_all(backends)
            with self._changed:
                others = [one for one in self._known if one.backend not in backends]
                before = {one.report.name: one.report for one in self._known}
                self._known = (*others, *found)
            for one in found:
                self._starts[one.backend.name].environment_digest = one.report.details.get(ENVIRONMENT, "")
                _tell(one.report, before.get(one.report.name))
            if found:
                self.starts(self._minimum).expect(self._usual())
        except SandboxUnavailable as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("the sandbox backends could not be probed")


def _tell(now: BackendReport, before: BackendReport | None) -> None:
    """Log what has changed."""
    if before is not None and before.problems == now.problems:
        return
    for text in now.problems:
        logger.warning("sandbox backend %s: %s", now.name, text)
    if now.available:
        logger.info("sandbox backend %s holds", now.name)
