"""Does the novelty filter keep a search from collapsing? (arXiv 2605.30103, result 5.) Pure.

Collapse is a proposer that says the same again and again. The theorem claims that the MinHash-Jaccard filter
prevents it; what can be measured is a pair: the diversity of proposals over cycles with the filter and
without it, from the same seeds. What the filter lets through is diverse by construction and says nothing.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from gateway.domain.statistics import mean_interval
from gateway.theory.distributions import CONFIDENCE, share_interval
from gateway.theory.reading import Estimate, Fit, Reading, percent, span

SHINGLE_TOKENS = 7
"""As in the filter of arXiv 2605.04903."""
SKETCH_SIZE = 128
_TOKEN = re.compile(r"\w+|[^\w\s]")
_CLAIM = "With the novelty filter the diversity of proposals does not fall; without it, it does."
_CANNOT_TELL = (
    "One search has one arm: whether the filter is the cause is told by a pair of searches from one seed, "
    "with and without it. Texts that differ may be the same network, and a narrow proposer may be a good one."
)
_EFFECT_CANNOT_TELL = (
    "That nothing is shown does not say that the filter does nothing. Without it the same program is still "
    "turned away. Texts that differ may be the same network, and a narrow proposer may be a good one."
)
Sketch = tuple[int, ...]


class Measure(StrEnum):
    """What an alarm is about."""

    UNIQUE_SHARE = "unique_share"
    MEAN_DISTANCE = "mean_distance"


class Action(StrEnum):
    """What an alarm asks of whoever fine-tunes."""

    PAUSE_FINE_TUNING = "pause_fine_tuning"
    ROLL_BACK_ADAPTER = "roll_back_adapter"


@dataclass(frozen=True)
class CycleDiversity:
    """Of what was proposed in one cycle, before the filter turned anything away."""

    cycle: int
    sources: int
    """Proposals that became a source."""
    unique: int
    """Of these, how many the filter knew nothing like."""
    mean_distance: float | None = None
    """Mean Jaccard distance between two of them; None for fewer than two."""
    token_entropy: float | None = None
    """Of their tokens, in nats."""


@dataclass(frozen=True)
class AlarmThresholds:
    """When diversity is called collapsed."""

    unique_share: float = 0.5
    """Fine-tuning pauses once fewer are new, beyond doubt."""
    distance_share: float = 0.5
    """The adapter is rolled back once the mean distance is below this share of the first cycle's."""
    lasting: int = 2
    """Cycles in a row that distances must stay there: one cycle is noise."""


@dataclass(frozen=True)
class Alarm:
    """A threshold that a cycle fell under."""

    cycle: int
    measure: Measure
    value: float
    threshold: float
    action: Action


def sketch_of(source: str) -> Sketch:
    """The smallest hashes of a source's shingles of 7 tokens: all that a distance needs (A. Broder, 1997)."""
    tokens = _TOKEN.findall(source)
    last = max(1, len(tokens) - SHINGLE_TOKENS + 1)
    hashes = {
        zlib.crc32(" ".join(tokens[i : i + SHINGLE_TOKENS]).encode("utf-8", "replace")) for i in range(last)
    }
    return tuple(sorted(hashes)[:SKETCH_SIZE])


def sketched_distance(one: Sketch, other: Sketch) -> float:
    """The Jaccard distance of two sources, estimated from their sketches; exact for short sources."""
    smallest = sorted({*one, *other})[:SKETCH_SIZE]
    shared = set(one) & set(other)
    return 1 - sum(value in shared for value in smallest) / len(smallest) if smallest else 0.0


def mean_distance(sketches: Sequence[Sketch]) -> float | None:
    """Over all pairs; None for fewer than two sketches."""
    pairs = list(combinations(sketches, 2))
    return math.fsum(sketched_distance(*pair) for pair in pairs) / len(pairs) if pairs else None


def token_entropy(sources: Sequence[str]) -> float | None:
    """Shannon's entropy of the tokens of all sources together, in nats; None without any token."""
    counts = Counter(token for source in sources for token in _TOKEN.findall(source))
    total = counts.total()
    if not total:
        return None
    return -math.fsum(count / total * math.log(count / total) for count in counts.values())


def find_alarms(
    cycles: Sequence[CycleDiversity], thresholds: AlarmThresholds | None = None
) -> tuple[Alarm, ...]:
    """In the order of cycles; the first cycle with a distance is what later ones are compared with."""
    limits = thresholds or AlarmThresholds()
    ordered = sorted(cycles, key=lambda one: one.cycle)
    found = [alarm for one in ordered if (alarm := _unique_alarm(one, limits)) is not None]
    return tuple(sorted(found + _distance_alarms(ordered, limits), key=lambda alarm: alarm.cycle))


def read_diversity(cycles: Sequence[CycleDiversity]) -> Reading:
    """One arm's word: the course of diversity, with its alarms. It cannot say what the filter does."""
    ordered = sorted((one for one in cycles if one.sources), key=lambda one: one.cycle)
    alarms = find_alarms(ordered)
    figures = {
        "cycles": [
            {
                "cycle": one.cycle,
                "sources": one.sources,
                "unique": one.unique,
                "unique_share": one.unique / one.sources,
                "mean_distance": one.mean_distance,
                "token_entropy": one.token_entropy,
            }
            for one in ordered
        ],
        "alarms": [
            {
                "cycle": alarm.cycle,
                "measure": alarm.measure.value,
                "value": alarm.value,
                "threshold": alarm.threshold,
                "action": alarm.action.value,
            }
            for alarm in alarms
        ],
    }
    verdict = "Cannot be told: nothing was proposed that became a source."
    if ordered:
        shares = ", ".join(
            f"{percent(one.unique / one.sources)} was new in cycle {one.cycle}"
            for one in (ordered[0], *ordered[1:][-1:])
        )
        verdict = f"What the filter does cannot be told from one search. Of what became a source {shares}."
        verdict += f" Alarms of a collapse: {len(alarms)}." if alarms else " No alarm of a collapse."
    return Reading("diversity", _CLAIM, Fit.UNTOLD, verdict, _CANNOT_TELL, figures=figures)


def filter_effect(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Estimate | None:
    """What the filter adds to late diversity, from pairs of searches with and without it, a pair for a seed.

    Each series is a diversity by cycle. Late is the second half of the cycles that both have, so that one
    cycle decides nothing; Student's t over seeds. None without a pair of at least two cycles.
    """
    gains = [
        _late_mean(kept, cycles) - _late_mean(free, cycles)
        for kept, free in pairs
        if (cycles := min(len(kept), len(free))) >= 2
    ]
    if not gains:
        return None
    return Estimate(math.fsum(gains) / len(gains), mean_interval(gains, CONFIDENCE))


def read_filter_effect(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]], instrument: str = "filter_effect"
) -> Reading:
    """The theorem's claim as a measured pair, for one measure of diversity."""
    effect = filter_effect(pairs)
    if effect is None or effect.interval is None:
        verdict = (
            "Cannot be told: it takes two pairs of searches with and without the filter, a pair for a seed."
        )
        return Reading(instrument, _CLAIM, Fit.UNTOLD, verdict, _EFFECT_CANNOT_TELL)
    told = f"{effect.value:+.3f} ({span(effect.interval)}) over {len(pairs)} seeds"
    if effect.interval[0] > 0:
        fit, verdict = Fit.HOLDS, f"With the filter late proposals are more diverse: {told}."
    elif effect.interval[1] < 0:
        fit, verdict = Fit.FAILS, f"The model does not fit: with the filter they are less diverse: {told}."
    else:
        fit, verdict = Fit.UNDECIDED, f"No effect of the filter on diversity is shown: {told}."
    return Reading(instrument, _CLAIM, fit, verdict, _EFFECT_CANNOT_TELL, Estimate(0.0), effect)


def _unique_alarm(one: CycleDiversity, limits: AlarmThresholds) -> Alarm | None:
    if not one.sources or share_interval(one.unique, one.sources)[1] >= limits.unique_share:
        return None
    share = one.unique / one.sources
    return Alarm(one.cycle, Measure.UNIQUE_SHARE, share, limits.unique_share, Action.PAUSE_FINE_TUNING)


def _distance_alarms(ordered: Sequence[CycleDiversity], limits: AlarmThresholds) -> list[Alarm]:
    known = [(one.cycle, one.mean_distance) for one in ordered if one.mean_distance is not None]
    if not known:
        return []
    threshold = limits.distance_share * known[0][1]
    found, low_for = [], 0
    for cycle, distance in known[1:]:
        low_for = low_for + 1 if distance < threshold else 0
        if low_for >= limits.lasting:
            alarm = Alarm(cycle, Measure.MEAN_DISTANCE, distance, threshold, Action.ROLL_BACK_ADAPTER)
            found.append(alarm)
    return found


def _late_mean(series: Sequence[float], cycles: int) -> float:
    late = series[cycles // 2 : cycles]
    return math.fsum(late) / len(late)
