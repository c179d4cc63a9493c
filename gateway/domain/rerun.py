"""Further runs of measured candidates with fresh training seeds: what they are, and how many. Pure.

Two purposes, which nothing mixes up. A *replicate* is there for selection: contenders are trained again
before they become elites. An *audit* is there for whoever doubts: drawn at random, looked at by the
instruments of the theory, and never by selection.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from enum import StrEnum

from contracts.names import SlotState

MAX_REPLICATE_SEEDS = 10
MAX_RERUNS_PER_CYCLE = 400


class RerunPurpose(StrEnum):
    """What a candidate is run again for."""

    REPLICATE = "replicate"
    """Contenders, so that selection goes by more than one run."""
    AUDIT = "audit"
    """A random sample, which selection never looks at."""


@dataclass(frozen=True)
class ReplicatePlan:
    """Contenders of every cycle are trained again before it closes."""

    seeds: int
    """Further runs of one contender, each with its own training seed."""
    budget: int
    """Further runs of one cycle, all contenders together."""


@dataclass(frozen=True)
class AuditPlan:
    """Of every cycle of proposals a random few are trained once more."""

    candidates: int
    """How many of a cycle."""
    epochs: int | None = None
    """How long; None: as long as the search trains."""


@dataclass(frozen=True)
class Rerun:
    """One further run. `state` goes from pending by evaluating to judged, failed or lost."""

    purpose: RerunPurpose
    cycle: int
    """With which it was asked for; its candidate may be of an earlier one."""
    place: int
    """Which of its purpose and candidate: the number of its seed."""
    seed: int
    epochs: int
    state: SlotState = SlotState.PENDING
    accuracy: float | None = None
    """On the selection half; None until it is judged."""
    failure_reason: str | None = None
    cpu_seconds: float | None = None
    evaluation_id: str | None = None

    @property
    def counted(self) -> float | None:
        """What it says of its candidate; None where it says nothing, for the platform lost it or it is open.

        A network that fails when it is trained again has classified nothing, so it counts as 0: were such a
        run left out, whoever refuses to be measured twice would keep a lucky score.
        """
        return 0.0 if self.state is SlotState.FAILED else self.accuracy


@dataclass(frozen=True)
class RerunTally:
    """What further runs have taken so far."""

    replicates: int = 0
    audits: int = 0
    failed: int = 0
    """Of both: by the candidate's own fault."""
    lost: int = 0
    """Of both: by the platform's; nothing is concluded from them."""
    cpu_seconds: float = 0.0
    """Of those that were scored."""


def add_tallies(tallies: Iterable[RerunTally]) -> RerunTally:
    """All of them together."""
    rows = [astuple(one) for one in tallies]
    return RerunTally(*(sum(column) for column in zip(*rows, strict=True))) if rows else RerunTally()
