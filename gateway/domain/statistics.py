"""Means with intervals for small samples, in plain arithmetic. Pure.

Only what the finals need; anything larger belongs to the theory package.
"""

import math
from collections.abc import Sequence


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Two-sided Student t interval of the mean; None for fewer than two values, which carry no spread."""
    count = len(values)
    if count < 2:
        return None
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half_width = student_t_quantile(0.5 + confidence / 2, count - 1) * math.sqrt(variance / count)
    return (mean - half_width, mean + half_width)


def student_t_quantile(probability: float, degrees: int) -> float:
    """The t below which a Student variable of integer `degrees` ≥ 1 falls with `probability` in [0.5, 1).

    Bisection on the closed forms of the distribution (Abramowitz and Stegun, 26.7.3 and 26.7.4), exact to
    about 1e-12. Raises ValueError outside those ranges.
    """
    if degrees < 1 or not 0.5 <= probability < 1:
        raise ValueError("student_t_quantile needs degrees >= 1 and 0.5 <= probability < 1")
    low, high = 0.0, 1.0
    while _student_t_cumulative(high, degrees) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if _student_t_cumulative(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_t_cumulative(t: float, degrees: int) -> float:
    """P(T ≤ t) for t ≥ 0."""
    angle = math.atan2(t, math.sqrt(degrees))
    cosine_squared = math.cos(angle) ** 2
    odd = degrees % 2 == 1
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine_squared * (k - 1) / k
        total += term
    central = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return 0.5 + central / 2
