"""Right, silently wrong, or wrongly refused: three outcomes, nothing between, counted by kind."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .appliers import Applier
from .kinds import INTACT, Instance

Z95 = 1.959964


class Outcome(StrEnum):
    """What became of one instance."""

    RIGHT = "right"
    """The right source, byte for byte, or a refusal where nothing else is right."""
    WRONG = "silently wrong"
    """A source, and not a right one."""
    REFUSED = "refused"
    """A refusal where a right source could be had."""


@dataclass(frozen=True)
class Trial:
    """One applier's answer to one instance."""

    instance: Instance
    source: str | None
    cpu_seconds: float
    """Of this process, which other load does not disturb; the processes of other appliers are not in it."""

    @property
    def outcome(self) -> Outcome:
        """Compared byte for byte: a blank line or a space at the end of a line counts."""
        if self.source is None:
            return Outcome.RIGHT if self.instance.may_refuse else Outcome.REFUSED
        return Outcome.RIGHT if self.source in self.instance.right else Outcome.WRONG


@dataclass(frozen=True)
class Score:
    """The outcomes of one applier on one kind."""

    count: int
    right: int
    wrong: int

    @property
    def right_share(self) -> float:
        """In [0, 1]."""
        return self.right / self.count

    @property
    def wrong_share(self) -> float:
        """In [0, 1]."""
        return self.wrong / self.count


def try_all(applier: Applier, instances: Iterable[Instance]) -> list[Trial]:
    """Each instance once."""
    trials = []
    for instance in instances:
        begin = time.process_time()
        source = applier(instance.baseline, instance.answer)
        trials.append(Trial(instance, source, time.process_time() - begin))
    return trials


def score(trials: Sequence[Trial]) -> Score:
    """Raises ZeroDivisionError later if there are none; callers leave such kinds out."""
    outcomes = [trial.outcome for trial in trials]
    return Score(len(outcomes), outcomes.count(Outcome.RIGHT), outcomes.count(Outcome.WRONG))


@dataclass(frozen=True)
class Overall:
    """The mean over kinds with equal weights, and the interval of the pooled silently wrong."""

    kinds: int
    count: int
    right_share: float
    wrong_share: float
    wrong_interval: tuple[float, float]


def overall(scores: dict[str, Score]) -> Overall:
    """Over all kinds but the control."""
    counted = [one for name, one in scores.items() if name != INTACT]
    total = sum(one.count for one in counted)
    return Overall(
        len(counted),
        total,
        sum(one.right_share for one in counted) / len(counted),
        sum(one.wrong_share for one in counted) / len(counted),
        wilson(sum(one.wrong for one in counted), total),
    )


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson, 1927)."""
    share = hits / count
    spread = 1 + Z95**2 / count
    middle = (share + Z95**2 / (2 * count)) / spread
    half = Z95 * math.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2)) / spread
    return max(0.0, middle - half), min(1.0, middle + half)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies, without interpolation. Raises IndexError without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
