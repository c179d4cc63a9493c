"""One runner host: proves its sandboxes at start, then takes attempts on while it has free slots."""

import logging
from collections.abc import Callable
from threading import Event, Thread

from contracts.jobs import AttemptOutcome, AttemptSpec, AttemptStatus, BackendReport, RunnerCapabilities
from sandbox_runner.admission import check_spec
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.attempt_table import AttemptTable
from sandbox_runner.config import RunnerSettings
from sandbox_runner.dataset_desk import DatasetDesk
from sandbox_runner.datasets.library import Library
from sandbox_runner.phases import Phase
from sandbox_runner.python_environment import environment_digest
from sandbox_runner.sandboxes.port import SandboxBackend

logger = logging.getLogger(__name__)

DEVICES = ("cpu",)


class NotReady(Exception):
    """No sandbox backend has passed its probe (yet). `reasons` say what to mend."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class Runner:
    """Attempts, datasets and capabilities of this host. `start` and `stop` frame its life."""

    def __init__(self, settings: RunnerSettings, backends: Callable[[], list[SandboxBackend]]) -> None:
        self.library = Library(settings.home)
        self.datasets = DatasetDesk(self.library)
        self.attempts = AttemptTable(settings.slots, settings.runner_threads_per_slot, self._work)
        self._settings = settings
        self._backends = backends
        self._proven: list[tuple[SandboxBackend, BackendReport]] = []
        self._probed = Event()
        self._prober = Thread(target=self._probe, name="probe", daemon=True)

    def start(self) -> None:
        """Begin to prove the backends; until one has passed, nothing is taken on."""
        self._prober.start()

    def stop(self) -> None:
        """Kill every attempt and free what the backends hold."""
        self.attempts.close()

    def wait_until_probed(self, seconds: float) -> bool:
        """Whether all backends have been probed within that time."""
        return self._probed.wait(seconds)

    def reasons_not_ready(self) -> list[str]:
        """Why nothing can run here; empty when something can."""
        if not self._probed.is_set():
            return ["the sandbox backends are being probed"]
        if any(report.available for _, report in self._proven):
            return []
        problems = [f"{report.name}: {text}" for _, report in self._proven for text in report.problems]
        return problems or ["no sandbox backend is installed"]

    def put(self, spec: AttemptSpec) -> AttemptStatus:
        """Take an attempt on. Raises NotReady, Refused, NoFreeSlot, FenceConflict."""
        reasons = self.reasons_not_ready()
        if reasons:
            raise NotReady(reasons)
        check_spec(spec, self.library, self.capabilities())
        return self.attempts.put(spec)

    def capabilities(self) -> RunnerCapabilities:
        """What this host offers now."""
        usable = [report.tier for _, report in self._proven if report.available]
        return RunnerCapabilities(
            backends=tuple(report for _, report in self._proven),
            tier=max(usable, key=lambda tier: tier.strength, default=None),
            slots=self.attempts.slots,
            threads_per_slot=self._settings.runner_threads_per_slot,
            devices=DEVICES,
            datasets=tuple(self.datasets.reports()),
            environment_digest=environment_digest(),
        )

    def _probe(self) -> None:
        for backend in self._backends():
            report = backend.probe()
            self._proven.append((backend, report))
            for text in report.problems:
                logger.warning("sandbox backend %s: %s", report.name, text)
        self._probed.set()

    def _work(self, spec: AttemptSpec, cancelled: Event, on_phase: Callable[[Phase], None]) -> AttemptOutcome:
        bench = Bench(self._strongest(), self.library, environment_digest())
        return run_attempt(spec, bench, cancelled, on_phase)

    def _strongest(self) -> SandboxBackend:
        """The strongest backend that passed its probe; the door has seen that it is strong enough."""
        passed = [backend for backend, report in self._proven if report.available]
        return max(passed, key=lambda backend: backend.tier.strength)
