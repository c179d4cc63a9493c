"""The end of a search: who won, and by how much over the baseline it came from. Pure.

The winner was picked for its score, so that score flatters it (the winner's curse; re-seeding shrinks
the over-estimate). The gain is therefore measured anew: winner and root baseline are trained on the same
fresh seeds and compared, seed by seed, on the sealed half that selection never saw. It is stated
whatever its sign.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.domain.candidate import Slot
from gateway.domain.selection import select_elites
from gateway.domain.statistics import mean_interval

CONFIDENCE = 0.95


@dataclass(frozen=True)
class FinalPair:
    """Both finalists on one fresh seed, on the sealed half; None where a run did not end in a score."""

    seed: int
    winner_accuracy: float | None
    baseline_accuracy: float | None

    @property
    def gain(self) -> float | None:
        """Winner minus baseline, as a fraction; None unless both ran."""
        if self.winner_accuracy is None or self.baseline_accuracy is None:
            return None
        return self.winner_accuracy - self.baseline_accuracy


@dataclass(frozen=True)
class FinalComparison:
    """The mean gain with its interval; `note` says in words what the numbers cannot carry."""

    per_seed: tuple[FinalPair, ...]
    mean_gain: float | None
    gain_interval: tuple[float, float] | None
    confidence: float
    note: str


def choose_winner(population: Iterable[Slot]) -> Slot | None:
    """The best candidate that a proposer made; None when none is plausible. Baselines cannot win."""
    best = select_elites((slot for slot in population if not slot.is_baseline), 1)
    return best[0] if best else None


def compare(pairs: Sequence[FinalPair]) -> FinalComparison:
    """Paired t interval of the gain over seeds (W. S. Gosset, "The probable error of a mean", 1908).

    The images of the sealed half are held fixed: the interval covers what retraining would change. It
    does not cover another draw of images; the same images serve both finalists, so most of that noise
    cancels within a pair. Pairs with a run that did not end in a score are left out and counted in `note`.
    """
    gains = [pair.gain for pair in pairs if pair.gain is not None]
    mean = math.fsum(gains) / len(gains) if gains else None
    interval = mean_interval(gains, CONFIDENCE)
    return FinalComparison(tuple(pairs), mean, interval, CONFIDENCE, _note(len(gains), len(pairs), interval))


def _note(complete: int, pairs: int, interval: tuple[float, float] | None) -> str:
    missing = (
        "" if complete == pairs else f"{pairs - complete} of {pairs} seeds lack a score and are left out. "
    )
    if complete == 0:
        return missing + "No seed has scores of both finalists, so nothing can be said about the gain."
    if interval is None:
        return missing + "One seed gives no interval: the gain may be noise. Ask for at least 3 final_seeds."
    if interval[0] <= 0 <= interval[1]:
        return (
            missing
            + "The interval contains zero: on these seeds the difference is not distinguishable from none."
        )
    word = "better" if interval[0] > 0 else "worse"
    return missing + f"The winner is {word} than its baseline beyond the noise of retraining."
