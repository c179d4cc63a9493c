"""One runner host: proves its sandboxes at start, then takes attempts on while it has free slots."""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread

from contracts.jobs import AttemptOutcome, AttemptSpec, AttemptStatus, RunnerCapabilities
from contracts.measurements import Limits
from contracts.names import IsolationTier
from sandbox_runner.admission import check_spec
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.attempt_table import AttemptTable
from sandbox_runner.config import RunnerSettings
from sandbox_runner.dataset_desk import DatasetDesk
from sandbox_runner.datasets.library import Library
from sandbox_runner.phases import Phase
from sandbox_runner.python_environment import environment_digest, guest_spec
from sandbox_runner.sandboxes.choice import ProbedBackend, probe_all, reports, strongest
from sandbox_runner.sandboxes.port import SandboxBackend, SandboxUnavailable
from sandbox_runner.starts import Starts

logger = logging.getLogger(__name__)

DEVICES = ("cpu",)


class NotReady(Exception):
    """No sandbox backend has passed its probe (yet). `reasons` say what to mend."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class Runner:
    """Attempts, datasets and capabilities of this host. `start` and `stop` frame its life."""

    def __init__(self, settings: RunnerSettings, backends: Sequence[SandboxBackend]) -> None:
        self.library = Library(settings.home)
        self.datasets = DatasetDesk(self.library)
        self.attempts = AttemptTable(settings.slots, settings.runner_threads_per_slot, self._work)
        self._settings = settings
        self._backends = backends
        self._probed_backends: Sequence[ProbedBackend] = ()
        self._starts: dict[str, Starts] = {}
        self._probed = Event()
        self._prober = Thread(target=self._probe, name="probe", daemon=True)

    def start(self) -> None:
        """Begin to prove the backends; until one has passed, nothing is taken on."""
        self._prober.start()

    def stop(self) -> None:
        """Kill every attempt and free what the backends hold."""
        self.attempts.close()
        for starts in self._starts.values():
            starts.close()
        for backend in self._backends:
            backend.close()

    def wait_until_probed(self, seconds: float) -> bool:
        """Whether all backends have been probed within that time."""
        return self._probed.wait(seconds)

    def reasons_not_ready(self) -> list[str]:
        """Why nothing can run here; empty when something can."""
        if not self._probed.is_set():
            return ["the sandbox backends are being probed"]
        try:
            strongest(self._probed_backends, self._settings.minimum_tier)
        except SandboxUnavailable as error:
            return [str(error)]
        return []

    def put(self, spec: AttemptSpec) -> AttemptStatus:
        """Take an attempt on. Raises NotReady, Refused, NoFreeSlot, FenceConflict."""
        reasons = self.reasons_not_ready()
        if reasons:
            raise NotReady(reasons)
        check_spec(spec, self.library, self.capabilities())
        return self.attempts.put(spec)

    def capabilities(self) -> RunnerCapabilities:
        """What this host offers now."""
        known = reports(self._probed_backends)
        return RunnerCapabilities(
            backends=known,
            tier=self._tier(),
            slots=self.attempts.slots,
            threads_per_slot=self._settings.runner_threads_per_slot,
            devices=DEVICES,
            datasets=tuple(self.datasets.reports()),
            environment_digest=environment_digest(),
        )

    def _tier(self) -> IsolationTier | None:
        try:
            return strongest(self._probed_backends, self._settings.minimum_tier).tier
        except SandboxUnavailable:
            return None

    def _probe(self) -> None:
        """Prove the backends; then let guests of the usual kind wait on the strongest."""
        try:
            self._probed_backends = probe_all(self._backends)
            for probed in self._probed_backends:
                for text in probed.report.problems:
                    logger.warning("sandbox backend %s: %s", probed.report.name, text)
                if probed.report.available:
                    starts = Starts(probed.backend, self._settings.warm)
                    self._starts[probed.backend.name] = starts
            usual = guest_spec("usual", Limits(), self._settings.runner_threads_per_slot)
            self._starts[strongest(self._probed_backends, self._settings.minimum_tier).name].expect(usual)
        except SandboxUnavailable as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("the sandbox backends could not be probed")
        self._probed.set()

    def _work(self, spec: AttemptSpec, cancelled: Event, on_phase: Callable[[Phase], None]) -> AttemptOutcome:
        minimum = max(spec.minimum_tier, self._settings.minimum_tier, key=lambda tier: tier.strength)
        starts = self._starts[strongest(self._probed_backends, minimum).name]
        return run_attempt(spec, Bench(starts, self.library, environment_digest()), cancelled, on_phase)
