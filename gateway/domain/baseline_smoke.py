"""Smoke runs: many imported networks, each tried for two batches in a sandbox, counted by how it ended. Pure.

A network that passes is usable as a baseline on that dataset. What the platform lost is in no rate.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contracts.failures import Failure, FailureReason

SMOKE_PRIORITY = -100
"""Whatever else a tenant wants evaluated goes first."""
SMALLEST_WINDOW = 4
LARGEST_WINDOW = 32
TENANTS_SHARE = 0.5
"""Smoke evaluations wait while a tenant's queue is filled beyond this share, so there is room for others."""


class SmokeRunState(StrEnum):
    """Where a smoke run is; the last two are terminal."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the state can never change again."""
        return self is not SmokeRunState.RUNNING


class SmokeState(StrEnum):
    """How far one network of a run is. `lost` fell to the platform's fault and is in no rate."""

    PENDING = "pending"
    SUBMITTED = "submitted"
    PASSED = "passed"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class SmokeVerdict:
    """How the smoke evaluation of one network ended."""

    state: SmokeState
    failure: Failure | None = None
    claimed_parameters: int | None = None


@dataclass(frozen=True)
class SmokeItem:
    """One network of a run; `digest` is its version. `reason`, `phase` and `message` say why it failed."""

    place: int
    name: str
    digest: str
    state: SmokeState
    reason: str | None
    phase: str | None
    message: str | None
    evaluation_id: str | None
    reused: bool


@dataclass(frozen=True)
class SmokeTally:
    """So many networks of a run ended in this way. `reason` and `phase` are of failures alone."""

    state: SmokeState
    reason: str | None
    phase: str | None
    networks: int


@dataclass(frozen=True)
class SmokeCounts:
    """A run in numbers. `pass_rate` is passed / (passed + failed), None before the first has ended."""

    total: int
    pending: int
    submitted: int
    passed: int
    failed: int
    lost: int
    cancelled: int
    pass_rate: float | None
    failures: tuple[SmokeTally, ...]
    """The most frequent first."""


@dataclass(frozen=True)
class SmokeRunRecord:
    """One smoke run as stored. `chosen` is the filter that its networks were drawn with, for people."""

    id: str
    tenant: str
    dataset: str
    chosen: dict[str, object]
    state: SmokeRunState
    waiting_for: str | None
    counts: SmokeCounts
    reused: int
    """Networks whose record answered: tried before on this dataset, in the same environment."""
    created_at: datetime
    finished_at: datetime | None


def counted(tallies: Iterable[SmokeTally]) -> SmokeCounts:
    """Add up what became of a run's networks."""
    listed = list(tallies)
    of = {state: sum(tally.networks for tally in listed if tally.state is state) for state in SmokeState}
    judged = of[SmokeState.PASSED] + of[SmokeState.FAILED]
    failures = sorted(
        (tally for tally in listed if tally.state is SmokeState.FAILED),
        key=lambda tally: (-tally.networks, tally.reason or "", tally.phase or ""),
    )
    return SmokeCounts(
        total=sum(of.values()),
        pending=of[SmokeState.PENDING],
        submitted=of[SmokeState.SUBMITTED],
        passed=of[SmokeState.PASSED],
        failed=of[SmokeState.FAILED],
        lost=of[SmokeState.LOST],
        cancelled=of[SmokeState.CANCELLED],
        pass_rate=of[SmokeState.PASSED] / judged if judged else None,
        failures=tuple(failures),
    )


def verdict_of_failure(failure: Failure | None) -> SmokeVerdict:
    """Of an evaluation that did not succeed. Without a reason, or by the platform's fault: lost."""
    if failure is None or failure.reason is FailureReason.INFRASTRUCTURE:
        return SmokeVerdict(SmokeState.LOST, failure)
    return SmokeVerdict(SmokeState.FAILED, failure)


def window(slots: int) -> int:
    """How many smoke evaluations may wait or run at a time: enough to keep the slots busy, no more."""
    return max(SMALLEST_WINDOW, min(2 * slots, LARGEST_WINDOW))
