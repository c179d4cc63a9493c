"""The control arm of a search: best of N at equal budget, and how both arms compare. Pure.

What selection, feedback and learning add is not shown by a search that gets better: best-of-N gets better,
too, by drawing more. So the control draws as many proposals with the same seeds, from the baselines alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.feedback import FeedbackMemory
from gateway.domain.search import SearchRequest
from gateway.domain.statistics import mean_interval

CONFIDENCE = 0.95
_MOST_NAME = 120
_SUFFIX = ", control"


@dataclass(frozen=True)
class ArmComparison:
    """The search's winner less the control's, on fresh seeds that both share and on the sealed half."""

    differences: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    """Student's t over seeds, 95 %; None of one seed."""


def control_request(request: SearchRequest) -> SearchRequest:
    """The same search without anything that learns from its own candidates.

    Parents are the baselines alone, drawn as in the first cycle; no tries are shown to the proposer, and
    its model stays as it began. Further runs of contenders stay: they choose the winner, and are part of
    the budget.
    """
    return replace(
        request,
        name=request.name[: _MOST_NAME - len(_SUFFIX)] + _SUFFIX,
        breeds=False,
        feedback=FeedbackMemory(),
        fine_tune=None,
        audit_sample=None,
    )


def compare_arms(final: Mapping[str, Any] | None, control: Mapping[str, Any] | None) -> ArmComparison | None:
    """From the finals of both; None where a winner is missing in one, or they share no seed with two scores.

    One pair of searches is one draw of each: the interval covers retraining, and not another search.
    """
    if final is None or control is None:
        return None
    ours, theirs = _winner_by_seed(final["per_seed"]), _winner_by_seed(control["per_seed"])
    differences = tuple(ours[seed] - theirs[seed] for seed in ours if seed in theirs)
    if not differences:
        return None
    mean = math.fsum(differences) / len(differences)
    return ArmComparison(differences, mean, mean_interval(differences, CONFIDENCE))


def _winner_by_seed(pairs: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    return {pair["seed"]: pair["winner_accuracy"] for pair in pairs if pair["winner_accuracy"] is not None}
