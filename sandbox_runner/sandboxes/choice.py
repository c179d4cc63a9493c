"""Which sandbox backend an attempt runs in: the strongest whose probe passed, never none.

Tiers that nothing was asked of are reported as absent, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.jobs import BackendReport
from contracts.names import IsolationTier
from sandbox_runner.sandboxes.docker.backend import DockerBackend
from sandbox_runner.sandboxes.docker.settings import LAUNCHER_COMMAND
from sandbox_runner.sandboxes.docker.wire import Runtime
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend
from sandbox_runner.sandboxes.port import SandboxBackend, SandboxUnavailable

NO_LAUNCHER = f"the runner knows no launcher; start one and set DELTANAS_LAUNCHER_SOCKET: {LAUNCHER_COMMAND}"


@dataclass(frozen=True)
class ProbedBackend:
    """A backend and what its probe found."""

    backend: SandboxBackend
    report: BackendReport


def built_in(home: Path, launcher: Path | None = None) -> tuple[SandboxBackend, ...]:
    """Every backend there is; what they keep lies under `home`, beside the data sets.

    `launcher` is the socket of the launcher for the Docker tiers; None: this runner has none.
    """
    docker = () if launcher is None else tuple(DockerBackend(runtime, launcher) for runtime in Runtime)
    return (ForkingBackend(home / "sandboxes"), *docker)


def probe_all(backends: Sequence[SandboxBackend]) -> tuple[ProbedBackend, ...]:
    """Probe the backends, strongest tier first."""
    probed = [ProbedBackend(backend, backend.probe()) for backend in backends]
    return tuple(sorted(probed, key=lambda one: one.report.tier.strength, reverse=True))


def reports(probed: Sequence[ProbedBackend]) -> tuple[BackendReport, ...]:
    """What every tier has to say, those that were not probed included."""
    known = {one.report.tier for one in probed}
    absent = (tier for tier in IsolationTier if tier is not IsolationTier.NAMESPACES and tier not in known)
    return (
        *(one.report for one in probed),
        *(BackendReport(tier.value, tier, False, (NO_LAUNCHER,)) for tier in absent),
    )


def strongest(
    probed: Sequence[ProbedBackend], minimum: IsolationTier = IsolationTier.NAMESPACES
) -> SandboxBackend:
    """The strongest backend that passed its probe. Raises SandboxUnavailable when none reaches `minimum`."""
    fit = [one for one in probed if one.report.available and one.report.tier.strength >= minimum.strength]
    if not fit:
        why = "; ".join(
            f"{report.name}: {', '.join(report.problems)}" for report in reports(probed) if report.problems
        )
        raise SandboxUnavailable(f"no sandbox of tier {minimum.value} or stronger is available ({why})")
    return max(fit, key=lambda one: one.report.tier.strength).backend
