"""Shares, means, differences and ratios with their 95 % intervals, in plain arithmetic. Pure."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from deltanas.fidelity.agreement import CONFIDENCE, RESAMPLES, quantile, wilson_interval
from gateway.domain.statistics import mean_interval

Json = dict[str, Any]


def share(successes: int, trials: int) -> Json:
    """A share with Wilson's interval; both are None without trials."""
    interval = wilson_interval(successes, trials)
    return {
        "count": successes,
        "of": trials,
        "share": successes / trials if trials else None,
        "interval": None if interval is None else list(interval),
    }


def mean(values: Sequence[float]) -> Json:
    """A mean with Student's t interval; no interval for fewer than two values."""
    interval = mean_interval(values, CONFIDENCE)
    return {
        "n": len(values),
        "mean": math.fsum(values) / len(values) if values else None,
        "interval": None if interval is None else list(interval),
    }


def paired_difference(pairs: Sequence[tuple[bool, bool]]) -> Json:
    """Share of the second less share of the first over pairs, with Newcombe's interval for paired shares.

    Method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998), 2635–2650: from Wilson's intervals, so that
    it has a width where all pairs agree.
    """
    both = sum(before and after for before, after in pairs)
    only_first = sum(before and not after for before, after in pairs)
    only_second = sum(after and not before for before, after in pairs)
    return {
        "n": len(pairs),
        "difference": (only_second - only_first) / len(pairs) if pairs else None,
        "interval": _newcombe(both, only_second, only_first, len(pairs)) if pairs else None,
        "only_first": only_first,
        "only_second": only_second,
    }


def ratio_of_means(above: Sequence[float], below: Sequence[float], seed: int) -> Json:
    """Mean of the first over mean of the second, unpaired; each is resampled on its own."""
    if not above or not below or not any(below):
        return {"ratio": None, "interval": None}
    draws = random.Random(seed)
    ratios = []
    for _ in range(RESAMPLES):
        divisor = statistics.fmean(draws.choices(below, k=len(below)))
        if divisor:
            ratios.append(statistics.fmean(draws.choices(above, k=len(above))) / divisor)
    return {"ratio": statistics.fmean(above) / statistics.fmean(below), "interval": _middle(ratios)}


def bootstrap_mean(values: Sequence[float], seed: int) -> Json:
    """A mean with the percentile interval of resamples (Efron and Tibshirani 1993, ch. 13)."""
    return {
        "n": len(values),
        "mean": statistics.fmean(values) if values else None,
        "interval": _bootstrapped(values, statistics.fmean, seed),
    }


def _newcombe(both: int, only_second: int, only_first: int, count: int) -> list[float]:
    neither = count - both - only_second - only_first
    one, other = (both + only_second) / count, (both + only_first) / count
    correlation = _phi(both, only_second, only_first, neither)
    low_one, high_one = wilson_interval(both + only_second, count) or (0.0, 1.0)
    low_other, high_other = wilson_interval(both + only_first, count) or (0.0, 1.0)
    below = _joined(one - low_one, high_other - other, correlation)
    above = _joined(high_one - one, other - low_other, correlation)
    return [one - other - below, one - other + above]


def _phi(both: int, only_second: int, only_first: int, neither: int) -> float:
    """Correlation of the two outcomes, a positive one drawn towards zero as the method says."""
    second, first = both + only_second, both + only_first
    count = second + only_first + neither
    scale = math.sqrt(second * (count - second) * first * (count - first))
    product = both * neither - only_second * only_first
    if scale == 0:
        return 0.0
    return (max(product - count / 2, 0.0) if product > 0 else product) / scale


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(one * one - 2 * correlation * one * other + other * other, 0.0))


def _bootstrapped(
    values: Sequence[float], statistic: Callable[[Sequence[float]], float], seed: int
) -> list[float] | None:
    """None for fewer than two values: one carries no spread."""
    if len(values) < 2:
        return None
    draws = random.Random(seed)
    return _middle([statistic(draws.choices(values, k=len(values))) for _ in range(RESAMPLES)])


def _middle(found: list[float]) -> list[float]:
    found.sort()
    tail = (1 - CONFIDENCE) / 2
    return [quantile(found, tail), quantile(found, 1 - tail)]
