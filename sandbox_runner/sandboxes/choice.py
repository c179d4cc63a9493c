"""Which sandbox backend an attempt runs in: the strongest whose probe passed, never none.

The tiers `docker+runc` and `docker+runsc` are not built yet: they are reported as absent, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.jobs import BackendReport
from contracts.names import IsolationTier
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
from sandbox_runner.sandboxes.port import SandboxBackend, SandboxUnavailable

ABSENT_TIERS = (IsolationTier.DOCKER_RUNC, IsolationTier.DOCKER_RUNSC)


@dataclass(frozen=True)
class ProbedBackend:
    """A backend and what its probe found."""

    backend: SandboxBackend
    report: BackendReport


def built_in(home: Path) -> tuple[SandboxBackend, ...]:
    """Every backend there is; what they keep lies under `home`, beside the data sets."""
    return (NamespacesBackend(home / "sandboxes"),)


def probe_all(backends: Sequence[SandboxBackend]) -> tuple[ProbedBackend, ...]:
    """Probe the backends, strongest tier first."""
    probed = [ProbedBackend(backend, backend.probe()) for backend in backends]
    return tuple(sorted(probed, key=lambda one: one.report.tier.strength, reverse=True))


def reports(probed: Sequence[ProbedBackend]) -> tuple[BackendReport, ...]:
    """What every tier has to say, those that are not built in included."""
    absent = tuple(
        BackendReport(tier.value, tier, False, (f"the tier {tier.value} is not built into this version",))
        for tier in ABSENT_TIERS
    )
    return (*(one.report for one in probed), *absent)


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
