"""Does the mean quality of proposals never fall from cycle to cycle? (arXiv 2605.30103, result 2.) Pure.

The theorem is about the expected quality of the proposer's distribution. It is estimated from scores that
had no part in selection: the scores that made somebody elite flatter it, and the elites of all cycles
together never get worse by construction.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from gateway.theory.distributions import CONFIDENCE, Interval, t_quantile
from gateway.theory.reading import Estimate, Fit, Reading, span

_LEAST_SCORES = 2
_CLAIM = "The expected quality of proposals does not fall from one cycle to any later one."
_CANNOT_TELL = (
    "That no fall is seen does not confirm that there is none: see how large a one the interval leaves. "
    "Quality is that of candidates that ran; what did not run has none. Scores trained with one common seed "
    "share its luck, which this interval does not cover."
)


@dataclass(frozen=True)
class Fall:
    """The mean of an earlier cycle less that of a later one; negative where quality rose."""

    earlier: int
    later: int
    value: float
    interval: Interval


@dataclass(frozen=True)
class QualityOverCycles:
    """Means by cycle, and the largest fall between any two of them."""

    means: Mapping[int, Estimate]
    largest_fall: Fall
    """The interval is of the largest true fall, wherever it is; it covers all pairs at once."""


def quality_over_cycles(
    scores: Mapping[int, Sequence[float]], confidence: float = CONFIDENCE
) -> QualityOverCycles | None:
    """None for fewer than two cycles with two scores each. `scores` are re-evaluated ones, by cycle.

    All pairs of cycles by Welch's t (1947), Bonferroni over pairs: if every pair's interval holds its true
    fall, the largest true fall lies between the largest lower and the largest upper end.
    """
    usable = {cycle: values for cycle, values in sorted(scores.items()) if len(values) >= _LEAST_SCORES}
    if len(usable) < 2:
        return None
    moments = {cycle: _moments(values) for cycle, values in usable.items()}
    pairs = list(combinations(moments, 2))
    each = 1 - (1 - confidence) / len(pairs)
    falls = [_fall(early, late, moments[early], moments[late], each) for early, late in pairs]
    largest = max(falls, key=lambda fall: fall.value)
    interval = (max(fall.interval[0] for fall in falls), max(fall.interval[1] for fall in falls))
    return QualityOverCycles(
        means={cycle: _mean_estimate(one, confidence) for cycle, one in moments.items()},
        largest_fall=Fall(largest.earlier, largest.later, largest.value, interval),
    )


def read_quality(scores: Mapping[int, Sequence[float]], instrument: str = "monotone_quality") -> Reading:
    """The instrument's word on re-evaluated accuracies by cycle, as fractions."""
    found = quality_over_cycles(scores)
    if found is None:
        verdict = "Cannot be told: it takes re-evaluated scores of two candidates in each of two cycles."
        return Reading(instrument, _CLAIM, Fit.UNTOLD, verdict, _CANNOT_TELL)
    fall = _possible(found.largest_fall)
    fit, verdict = _verdict(fall)
    return Reading(
        instrument,
        _CLAIM,
        fit,
        verdict,
        _CANNOT_TELL,
        predicted=Estimate(0.0),
        observed=Estimate(fall.value, fall.interval),
        figures={
            "means": [
                {"cycle": cycle, "n": len(scores[cycle]), "mean": one.value, "interval": one.interval}
                for cycle, one in found.means.items()
            ],
            "earlier": fall.earlier,
            "later": fall.later,
        },
    )


def _possible(fall: Fall) -> Fall:
    """Without what no two accuracies can differ by: few scores have an interval wider than all there is."""
    low, high = fall.interval
    return replace(fall, interval=(max(low, -1.0), min(high, 1.0)))


def _verdict(fall: Fall) -> tuple[Fit, str]:
    low, high = fall.interval
    between = f"between cycles {fall.earlier} and {fall.later}"
    if low > 0:
        return Fit.FAILS, (
            f"The model does not fit: mean quality fell by {fall.value:.3f} {between} "
            f"(simultaneous 95 % interval of the largest fall: {span(fall.interval)})."
        )
    if high <= 0:
        return Fit.HOLDS, f"Mean quality rose between every two cycles, by {-high:.3f} at the least."
    excluded = "no fall at all is excluded" if high >= 1 else f"a fall of up to {high:.3f} is not excluded"
    return Fit.UNDECIDED, (
        f"No fall is shown; the largest seen is {fall.value:.3f} {between}, and {excluded}."
    )


def _moments(values: Sequence[float]) -> tuple[int, float, float]:
    """Count, mean, and the variance of the mean."""
    count = len(values)
    mean = math.fsum(values) / count
    return count, mean, math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count


def _fall(
    early: int,
    late: int,
    one: tuple[int, float, float],
    other: tuple[int, float, float],
    confidence: float,
) -> Fall:
    value, variance = one[1] - other[1], one[2] + other[2]
    if variance == 0:
        return Fall(early, late, value, (value, value))
    share = one[2] / variance
    degrees = 1 / (share**2 / (one[0] - 1) + (1 - share) ** 2 / (other[0] - 1))
    # Rounded down, so that the pairs of many cycles share their quantiles; no interval gets narrower by it.
    half = t_quantile(0.5 + confidence / 2, math.floor(degrees)) * math.sqrt(variance)
    return Fall(early, late, value, (value - half, value + half))


def _mean_estimate(moments: tuple[int, float, float], confidence: float) -> Estimate:
    count, mean, variance = moments
    half = t_quantile(0.5 + confidence / 2, count - 1) * math.sqrt(variance)
    return Estimate(mean, (mean - half, mean + half))
