"""Is fine-tuning on elites the cross-entropy update? (arXiv 2605.30103, result 1.) Pure.

With p_S the elites' empirical distribution and p_theta the proposer's, the training loss is the cross-entropy
H(p_S, p_theta) = H(p_S) + KL(p_S || p_theta). H(p_S) does not depend on theta, so what the loss falls by is
what the divergence falls by, nat for nat, although neither is known by itself. The theorem is about the best
theta of the family; whether an optimiser comes nearer to it is what can be measured.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from gateway.domain.statistics import mean_interval
from gateway.theory.distributions import CONFIDENCE
from gateway.theory.reading import Estimate, Fit, Reading, span

_CLAIM = "Fine-tuning on elites lowers KL(p_S || p_theta), by as much as it lowers their cross-entropy."
_CANNOT_TELL = (
    "A lower cross-entropy on elites does not say that better networks are proposed. Losses per token weigh "
    "long answers more than the theorem does. A loss on held-out elites estimates the divergence from what "
    "elites are drawn from; a loss on those that were learnt flatters. Of a frozen model nothing can be told."
)


@dataclass(frozen=True)
class Divergence:
    """Of a proposer from the empirical distribution of its elites, in nats per answer."""

    cross_entropy: float
    elite_entropy: float
    gap: float
    """KL(p_S || p_theta), the cross-entropy less the elites' own entropy. Never negative but by rounding."""


@dataclass(frozen=True)
class LossChange:
    """Mean losses of one fine-tune in nats per token, on elites that were not learnt from."""

    cycle: int
    before: float
    after: float


def divergence(elites: Sequence[Hashable], log_probabilities: Sequence[float]) -> Divergence | None:
    """The gap of one proposer, None without elites.

    `elites` are answers, alike ones equal; `log_probabilities` are the proposer's, in nats, of whole answers.
    Raises ValueError where a log-probability is missing, positive or no number.
    """
    if len(elites) != len(log_probabilities):
        raise ValueError(f"{len(elites)} elites, {len(log_probabilities)} log-probabilities")
    if any(not value <= 0 for value in log_probabilities):
        raise ValueError("a log-probability is at most 0")
    if not elites:
        return None
    count = len(elites)
    cross = -math.fsum(log_probabilities) / count
    shares = [one / count for one in Counter(elites).values()]
    entropy = -math.fsum(share * math.log(share) for share in shares)
    return Divergence(cross, entropy, cross - entropy)


def divergence_drop(before: Sequence[float], after: Sequence[float]) -> Estimate | None:
    """By how many nats per answer KL fell, from log-probabilities of the same elites before and after.

    Student's t over elites, paired. None without elites. Raises ValueError for series of unequal length.
    """
    gains = [new - old for old, new in zip(before, after, strict=True)]
    if not gains:
        return None
    return Estimate(math.fsum(gains) / len(gains), mean_interval(gains, CONFIDENCE))


def read_divergence_drop(before: Sequence[float], after: Sequence[float]) -> Reading:
    """The instrument's word where log-probabilities of answers are known."""
    drop = divergence_drop(before, after)
    if drop is None or drop.interval is None:
        return _untold("it takes the log-probabilities of two elites before and after a fine-tune.")
    low, high = drop.interval
    if low > 0:
        fit, verdict = Fit.HOLDS, f"The divergence fell by {drop.value:.3f} nats ({span(drop.interval)})."
    elif high < 0:
        fit = Fit.FAILS
        verdict = f"The model does not fit: the divergence rose by {-drop.value:.3f} nats per answer."
    else:
        fit = Fit.UNDECIDED
        verdict = f"Neither a fall nor a rise of the divergence is shown ({span(drop.interval)} nats)."
    return Reading("cross_entropy", _CLAIM, fit, verdict, _CANNOT_TELL, Estimate(0.0), drop)


def read_loss_changes(changes: Sequence[LossChange]) -> Reading:
    """The instrument's word on the validation losses of a search's fine-tunes; one job is one observation."""
    usable = [one for one in changes if math.isfinite(one.before) and math.isfinite(one.after)]
    if not usable:
        return _untold("no fine-tune of this search has told its losses.")
    drops = [one.before - one.after for one in usable]
    mean = Estimate(math.fsum(drops) / len(drops), mean_interval(drops, CONFIDENCE))
    risen = [one.cycle for one in usable if one.after > one.before]
    if mean.interval is not None and mean.interval[1] < 0:
        fit = Fit.FAILS
    elif mean.interval is not None and mean.interval[0] > 0:
        fit = Fit.HOLDS
    else:
        fit = Fit.UNDECIDED
    verdict = (
        f"Over {_jobs(len(usable))} the loss on held-out elites {'fell' if mean.value >= 0 else 'rose'} "
        f"by {abs(mean.value):.4f} nats per token on average, and with it the divergence."
    )
    if risen:
        verdict += f" It rose after cycle {', '.join(map(str, risen))}."
    if mean.interval is None:
        verdict += " One job has no interval: it may be chance."
    figures = {"fine_tunes": [{"cycle": o.cycle, "before": o.before, "after": o.after} for o in usable]}
    return Reading("cross_entropy", _CLAIM, fit, verdict, _CANNOT_TELL, Estimate(0.0), mean, figures)


def _jobs(count: int) -> str:
    return "1 fine-tune" if count == 1 else f"{count} fine-tunes"


def _untold(why: str) -> Reading:
    return Reading("cross_entropy", _CLAIM, Fit.UNTOLD, f"Cannot be told: {why}", _CANNOT_TELL)
