"""What every instrument says in the end: what was claimed, predicted and observed, and whether they agree."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.theory.distributions import Interval


class Fit(StrEnum):
    """How a claim stands against the data. None of them confirms a theorem."""

    HOLDS = "holds"
    """What it predicts is outside doubt on these data, at the stated confidence."""
    UNDECIDED = "undecided"
    """The data contradict it nowhere, and would not tell it from its opposite either."""
    FAILS = "fails"
    """The data contradict it: the model does not fit."""
    UNTOLD = "cannot_be_told"
    """The search has not recorded what it would take."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; None where nothing carries a spread."""

    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Reading:
    """One instrument's word on one search."""

    instrument: str
    claim: str
    fit: Fit
    verdict: str
    """In plain words, the size of a failure named."""
    cannot_tell: str
    """What these data cannot say, however they come out."""
    predicted: Estimate | None = None
    observed: Estimate | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What a picture of it needs, in JSON's types."""


def percent(share: float) -> str:
    """`0.713` as `71.3 %`."""
    return f"{100 * share:.1f} %"


def span(interval: Interval, digits: int = 3) -> str:
    """`0.1 to 0.4`, both ends rounded."""
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"
