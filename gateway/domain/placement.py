"""Which hosts can run an attempt. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.jobs import RunnerCapabilities


@dataclass(frozen=True)
class Requirements:
    """What an attempt asks of its host."""

    device: str
    tier_strength: int
    dataset: str


def can_run(host: RunnerCapabilities, wanted: Requirements) -> bool:
    """Whether the host has the device, a tier strong enough, and the data set ready."""
    return (
        host.tier is not None
        and host.tier.strength >= wanted.tier_strength
        and wanted.device in host.devices
        and any(report.ready and report.name == wanted.dataset for report in host.datasets)
    )


def any_of(hosts: Iterable[RunnerCapabilities], wanted: Requirements) -> bool:
    """Whether it is all the same which of these hosts takes the attempt."""
    return all(can_run(host, wanted) for host in hosts)
