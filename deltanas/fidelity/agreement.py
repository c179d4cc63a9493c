"""Rank agreement of two series of accuracies, with intervals, in plain arithmetic. Pure."""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Pair = tuple[float, float]
"""Our accuracy and the recorded one of the same network."""

CONFIDENCE = 0.95
RESAMPLES = 5_000
_LEAST_PAIRS = 3


@dataclass(frozen=True)
class Agreement:
    """How far two series agree. Differences are ours less theirs, as fractions."""

    networks: int
    spearman: float | None
    """None for fewer than three pairs, or where a series has one value alone."""
    interval: tuple[float, float] | None
    median_difference: float
    median_absolute_difference: float
    largest_difference: float
    """The one farthest from zero, with its sign."""


def agreement_of(pairs: Sequence[Pair], seed: int) -> Agreement | None:
    """None where there is no pair at all; `seed` draws the resamples of the interval."""
    if not pairs:
        return None
    differences = [ours - theirs for ours, theirs in pairs]
    return Agreement(
        networks=len(pairs),
        spearman=spearman(pairs),
        interval=bootstrap_interval(pairs, seed),
        median_difference=statistics.median(differences),
        median_absolute_difference=statistics.median(map(abs, differences)),
        largest_difference=max(differences, key=abs),
    )


def spearman(pairs: Sequence[Pair]) -> float | None:
    """Spearman's rho: Pearson's correlation of the ranks, ties by their average rank."""
    if len(pairs) < _LEAST_PAIRS:
        return None
    ours, theirs = zip(*pairs, strict=True)
    try:
        return statistics.correlation(average_ranks(ours), average_ranks(theirs))
    except statistics.StatisticsError:  # one of them is constant
        return None


def average_ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            ranks[place] = (first + last) / 2 + 1
        first = last + 1
    return ranks


def bootstrap_interval(
    pairs: Sequence[Pair], seed: int, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The percentile interval of rho over pairs drawn with replacement (Efron and Tibshirani 1993, ch. 13).

    Resamples without a rho are left out. None where the pairs have none.
    """
    if spearman(pairs) is None:
        return None
    draws = random.Random(seed)  # noqa: S311 - a statistic, not a secret
    drawn = (spearman(draws.choices(pairs, k=len(pairs))) for _ in range(resamples))
    found = sorted(rho for rho in drawn if rho is not None)
    tail = (1 - confidence) / 2
    return quantile(found, tail), quantile(found, 1 - tail)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ordered values lies, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def wilson_interval(
    successes: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Wilson's score interval of a share; None without trials."""
    if trials == 0:
        return None
    z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    spread = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    middle, scale = share + z * z / (2 * trials), 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
