"""Which of many near pairs are ordered, in bounded memory and independent of the order they come in. Pure.

In a cluster of a thousand networks every one is near every other: a million pairs that say the same. So the
networks stand in a seeded order on a circle, and a baseline takes the better networks near it that follow it
there, the next ones first: each gets a fair draw of its neighbours, and each neighbour of its baselines.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.domain.search import derive_number
from gateway.domain.training_pairs import FamilySplit, Hyperparameters, PairSettings, RecordedNetwork, Split

SPARE = 6
"""Kept for each pair that a baseline may have: of many the delta turns out too short or too long."""
MAX_KEPT = 1_000_000
"""Candidates of all baselines together, some 170 bytes each. LEMUR's baselines have room for 95 each then."""
ROUNDING = 1e-9
"""Recorded accuracies are decimal fractions; their difference is not."""


@dataclass(frozen=True)
class PairCandidate:
    """A near pair that may be ordered. Ends are places in the list of networks."""

    baseline: int
    target: int
    jaccard: float


class NearPairs:
    """Takes in near pairs, as many as there are; keeps `SPARE` times what can be used of each baseline.

    Fewer where all together would be more than `MAX_KEPT`.
    """

    def __init__(self, networks: Sequence[RecordedNetwork], settings: PairSettings) -> None:
        self._networks = networks
        self._settings = settings
        self._needs_same = settings.hyperparameters is Hyperparameters.SAME
        self._place = circle(networks, settings.seed)
        self._room = min(SPARE * settings.pairs_per_network, max(1, MAX_KEPT // max(1, len(networks))))
        self._kept: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
        self.left_out: Counter[str] = Counter()

    def add(self, first: int, second: int, jaccard: float) -> None:
        """Consider two near networks; the better one is the target."""
        one, other = self._networks[first], self._networks[second]
        if self._needs_same and one.hyperparameters != other.hyperparameters:
            self.left_out["hyperparameters_differ"] += 1
            return
        gain = other.accuracy - one.accuracy
        baseline, target = (first, second) if gain > 0 else (second, first)
        if abs(gain) < max(self._settings.min_gain, ROUNDING) - ROUNDING / 2:
            self.left_out["gain_too_small"] += 1
            return
        ahead = (self._place[target] - self._place[baseline]) % len(self._networks)
        kept = self._kept[baseline]
        if len(kept) < self._room:
            heapq.heappush(kept, (-ahead, target, jaccard))
            return
        self.left_out["baseline_has_enough"] += 1
        if -kept[0][0] > ahead:
            heapq.heapreplace(kept, (-ahead, target, jaccard))

    def queue(self) -> "PairQueue":
        """The kept pairs, to be tried. This object is empty then."""
        waiting: dict[int, deque[PairCandidate]] = {}
        for baseline in sorted(self._kept, key=lambda number: self._place[number]):
            nearest_first = sorted(self._kept.pop(baseline), reverse=True)
            waiting[baseline] = deque(
                PairCandidate(baseline, target, jaccard) for _, target, jaccard in nearest_first
            )
        return PairQueue(self._settings, waiting, self.left_out)


class PairQueue:
    """Gives out candidates round by round, one of each baseline a round, while there is room for them.

    What was taken holds its room until `settle` says what became of it.
    """

    def __init__(
        self, settings: PairSettings, waiting: dict[int, deque[PairCandidate]], left_out: Counter[str]
    ) -> None:
        self._waiting = waiting
        self._turns = deque(waiting)
        self._left_out = left_out
        self._taken: Counter[_Share] = Counter()
        self._open: Counter[_Share] = Counter()
        self._rooms = {
            "baseline_has_enough": settings.pairs_per_network,
            "target_has_enough": settings.pairs_per_network,
            "enough_pairs": settings.max_pairs,
        }
        self.made: list[PairCandidate] = []
        self.total = sum(map(len, waiting.values()))
        self.done = 0

    def take(self, count: int) -> list[PairCandidate]:
        """At most `count` candidates; none when no more is to be tried."""
        taken: list[PairCandidate] = []
        passed = 0
        while len(taken) < count and passed < len(self._turns):
            baseline = self._turns.popleft()
            candidate = self._next_of(baseline)
            if candidate is None:
                continue
            self._turns.append(baseline)
            shares = _shares(candidate)
            if any(self._taken[share] + self._open[share] >= self._rooms[share[0]] for share in shares):
                passed += 1  # there may be room once the open ones are settled
                continue
            passed = 0
            self._waiting[baseline].popleft()
            self._open.update(shares)
            taken.append(candidate)
        return taken

    def settle(self, candidate: PairCandidate, left_out: str | None = None) -> None:
        """Count a candidate that was taken: as made, or as left out for a reason."""
        shares = _shares(candidate)
        self.done += 1
        self._open.subtract(shares)
        if left_out is None:
            self._taken.update(shares)
            self.made.append(candidate)
        else:
            self._left_out[left_out] += 1

    def _next_of(self, baseline: int) -> PairCandidate | None:
        """The baseline's next candidate that is not barred for good; those that are get counted."""
        waiting = self._waiting[baseline]
        while waiting:
            full = [share[0] for share in _shares(waiting[0]) if self._taken[share] >= self._rooms[share[0]]]
            if not full:
                return waiting[0]
            waiting.popleft()
            self.done += 1
            self._left_out[full[0]] += 1
        return None


def _shares(candidate: PairCandidate) -> tuple["_Share", ...]:
    """Whose room a candidate takes."""
    return (
        ("baseline_has_enough", candidate.baseline),
        ("target_has_enough", candidate.target),
        ("enough_pairs", 0),
    )


_Share = tuple[str, int]
"""A reason to leave out once its room is full, and whose room it is."""


def mutation_order(
    networks: Sequence[RecordedNetwork], chosen: Sequence[int], families: FamilySplit, split: Split, seed: int
) -> Iterator[int]:
    """The places of a split's networks in a seeded order that alternates between families.

    In turns, so that a family of thousands does not drown the others.
    """
    turns: Counter[str] = Counter()
    place = circle(networks, seed)
    ordered: list[tuple[int, int, int]] = []
    for network in sorted(chosen, key=lambda number: place[number]):
        family = networks[network].family
        if families.of(family) is split:
            ordered.append((turns[family], place[network], network))
            turns[family] += 1
    return (network for _, _, network in sorted(ordered))


def circle(networks: Sequence[RecordedNetwork], seed: int) -> list[int]:
    """Each network's place on the circle, by its number in the list."""
    order = sorted(range(len(networks)), key=lambda n: (derive_number("circle", seed, networks[n].name), n))
    places = [0] * len(networks)
    for place, number in enumerate(order):
        places[number] = place
    return places
