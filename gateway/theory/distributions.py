"""Quantiles and intervals that several instruments need, in plain arithmetic. Pure."""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

CONFIDENCE = 0.95
Interval = tuple[float, float]

_STEPS = 100
"""Of a bisection: halves any interval of interest down to the precision of a float."""
_TINY = 1e-300


def normal_quantile(probability: float) -> float:
    """The z below which a standard normal variable falls with `probability` in (0, 1)."""
    return NormalDist().inv_cdf(probability)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) of x in [0, 1] and positive a, b (DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, that of the complement does not
        return 1.0 - incomplete_beta(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of DLMF 8.17.22 by Lentz's method."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 2000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


@lru_cache(maxsize=4096)
def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x below which a Beta(a, b) variable falls with `probability` in [0, 1]."""
    return root_of(lambda x: incomplete_beta(x, a, b) - probability, 0.0, 1.0)


def f_quantile(probability: float, above: float, below: float) -> float:
    """The value below which Fisher's F with these degrees of freedom falls with `probability` in [0, 1)."""
    # By the smaller of the two tails, which is known to more digits.
    rest = beta_quantile(1 - probability, below / 2, above / 2)
    return math.inf if rest == 0 else below * (1 - rest) / (above * rest)


def t_quantile(probability: float, degrees: float) -> float:
    """The t below which a Student variable falls with `probability` in [0.5, 1); any degrees > 0."""
    return math.sqrt(f_quantile(2 * probability - 1, 1, degrees))


def share_interval(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact interval of a share (Clopper and Pearson 1934); all of [0, 1] without trials.

    Raises ValueError unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else beta_quantile(tail, successes, trials - successes + 1)
    high = 1.0 if successes == trials else beta_quantile(1 - tail, successes + 1, trials - successes)
    return low, high


def difference_interval(one: float, of_one: Interval, other: float, of_other: Interval) -> Interval:
    """The interval of `one - other` from those of two independent estimates (Zou and Donner 2008)."""
    difference = one - other
    return (
        difference - math.hypot(one - of_one[0], of_other[1] - other),
        difference + math.hypot(of_one[1] - one, other - of_other[0]),
    )


def root_of(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising or falling function crosses zero between two places; the nearer end if it does not."""
    rises = function(high) >= function(low)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if (function(middle) < 0) is rises:
            low = middle
        else:
            high = middle
    return (low + high) / 2
