"""One runner host: proves its sandboxes at start, then takes attempts on while it has free slots."""

from collections.abc import Callable, Sequence
from threading import Event

from contracts.jobs import AttemptOutcome, AttemptSpec, AttemptStatus, RunnerCapabilities
from contracts.measurements import Limits
from contracts.names import IsolationTier
from sandbox_runner.admission import check_spec
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.attempt_table import AttemptTable
from sandbox_runner.config import RunnerSettings
from sandbox_runner.dataset_desk import DatasetDesk
from sandbox_runner.datasets.library import Library
from sandbox_runner.gpus import find_gpus
from sandbox_runner.phases import Phase
from sandbox_runner.python_environment import environment_digest, guest_spec
from sandbox_runner.sandboxes.port import SandboxBackend
from sandbox_runner.tiers import Tiers


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
        self._gpus = find_gpus()
        threads = settings.runner_threads_per_slot
        self._tiers = Tiers(
            backends, settings.warm, settings.minimum_tier, lambda: guest_spec("usual", Limits(), threads)
        )

    def start(self) -> None:
        """Begin to prove the backends; until one has passed, nothing is taken on."""
        self._tiers.start()

    def stop(self) -> None:
        """Kill every attempt and free what the backends hold."""
        self.attempts.close()
        self._tiers.stop()

    def reasons_not_ready(self) -> list[str]:
        """Why nothing can run here; empty when something can."""
        return self._tiers.reasons_not_ready()

    def put(self, spec: AttemptSpec) -> AttemptStatus:
        """Take an attempt on. Raises NotReady, Refused, NoFreeSlot, FenceConflict."""
        reasons = self.reasons_not_ready()
        if reasons:
            raise NotReady(reasons)
        check_spec(spec, self.library, self.capabilities())
        return self.attempts.put(spec)

    def capabilities(self) -> RunnerCapabilities:
        """What this host offers now."""
        tier = self._tiers.strongest()
        # Only an engine can show a sandbox one GPU and no other.
        shows_gpus = tier not in {None, IsolationTier.NAMESPACES}
        return RunnerCapabilities(
            backends=self._tiers.reports(),
            tier=tier,
            slots=self.attempts.slots,
            threads_per_slot=self._settings.runner_threads_per_slot,
            devices=("cpu", *(self._gpus.devices if shows_gpus else ())),
            datasets=tuple(self.datasets.reports()),
            environment_digest=self._tiers.environment_digest() or environment_digest(),
            gpu_memory_bytes=self._gpus.memory_bytes if shows_gpus else (),
            lent_gpus=self._gpus.lent,
            warm_sandboxes=self._tiers.waiting(),
        )

    def _work(self, spec: AttemptSpec, cancelled: Event, on_phase: Callable[[Phase], None]) -> AttemptOutcome:
        bench = Bench(self._tiers.starts(least_tier(spec)), self.library, environment_digest(), self._gpus)
        return run_attempt(spec, bench, cancelled, on_phase)


def least_tier(spec: AttemptSpec) -> IsolationTier:
    """The weakest tier that the attempt may run in: with a GPU one that can show it that GPU and no other."""
    if spec.device == "cpu":
        return spec.minimum_tier
    return max(spec.minimum_tier, IsolationTier.DOCKER_RUNC, key=lambda tier: tier.strength)
