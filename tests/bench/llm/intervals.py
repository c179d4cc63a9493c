"""Shares, means, differences and ratios with their 95 % intervals, in plain arithmetic. Pure."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from deltanas.fidelity.agreement import CONFIDENCE, RESAMPLES, quantile, wilson_interval
from gateway.domain.statistics import mean_interval

Json = dict[str, Any]
Pair = tuple[float, float]


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


def paired_difference(pairs: Sequence[Pair], seed: int) -> Json:
    """Mean of second less first over pairs, with the percentile interval of resampled pairs."""
    differences = [after - before for before, after in pairs]
    return {
        "n": len(pairs),
        "difference": statistics.fmean(differences) if differences else None,
        "interval": _bootstrapped(differences, statistics.fmean, seed),
        "only_first": sum(difference < 0 for difference in differences),
        "only_second": sum(difference > 0 for difference in differences),
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
