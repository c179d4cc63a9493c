"""How a search fine-tunes its model as it goes: after which cycles, on what, how. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.theory.diversity import AlarmThresholds


class EliteDeltas(StrEnum):
    """Which deltas that led to elites are learnt: those to a better network than the parent, or all.

    arXiv 2605.04903 learns from pairs whose target was measured better; the cross-entropy method
    (arXiv 2605.30103) learns from all of the elite set alike.
    """

    IMPROVEMENTS = "improvements"
    ALL = "all"


@dataclass(frozen=True)
class FineTunePlan:
    """After every so many cycles a model learns from the elites so far; the next cycle proposes with it."""

    every: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    """Preset, and what the preset shall not decide, by the names of FineTuneSettings."""
    replay: float = 0.5
    """Of the deltas that are learnt from, at most this share was learnt before."""
    deltas: EliteDeltas = EliteDeltas.IMPROVEMENTS
    training_pairs: dict[str, Any] | None = None
    """Pairs of recorded networks and mutations that are learnt, too, by the names of PairSettings."""
    alarms: AlarmThresholds | None = None
    """When collapsing proposals stop the learning or roll the adapter back; None: alarms are shown alone."""

    def is_due(self, closed_cycle: int) -> bool:
        """Whether it is time to learn, now that this cycle has closed. Cycle 0 has no deltas."""
        return closed_cycle > 0 and closed_cycle % self.every == 0
