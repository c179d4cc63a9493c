"""From values to places on a figure. Pure arithmetic."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A straight line from values `low`…`high` to places `start`…`end`; beyond them it clips."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values within the scale, roughly `about` of them."""
        step = _round_step((self.high - self.low) / max(about, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def scale_around(
    values: Iterable[float], start: float, end: float, least_span: float, margin: float = 0.06
) -> Scale:
    """A scale that holds all values with some air, and never magnifies less than `least_span`."""
    known = list(values) or [0.0]
    low, high = min(known), max(known)
    missing = max(least_span - (high - low), 0.0)
    air = margin * max(high - low, least_span)
    return Scale(low - missing / 2 - air, high + missing / 2 + air, start, end)


def usual_floor(values: Sequence[float]) -> float:
    """The lowest value worth showing (Tukey's fence): a few poor ones must not flatten all the others."""
    ordered = sorted(values)
    lower, upper = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    fence = lower - 3.0 * max(upper - lower, 0.01)
    return next(value for value in ordered if value >= fence)


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)
