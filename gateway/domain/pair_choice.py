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
from gateway.domain.training_pairs import FamilySplit, PairSettings, RecordedNetwork, Split

SPARE = 6
"""Kept for each pair that a baseline may have: of many the delta turns out too short or too long."""
ROUNDING = 1e-9
"""Recorded accuracies are decimal fractions; their difference is not."""


@dataclass(frozen=True)
class PairCandidate:
    """A near pair that may be ordered. Ends are places in the list of networks."""

    baseline: int
    target: int
    jaccard: float


class NearPairs:
    """Takes in near pairs, as many as there are; keeps `SPARE` times what can be used of each baseline."""

    def __init__(self, networks: Sequence[RecordedNetwork], settings: PairSettings) -> None:
        self._networks = networks
        self._settings = settings
        self._place = circle(networks, settings.seed)
        self._kept: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
        self.left_out: Counter[str] = Counter()

    def add(self, first: int, second: int, jaccard: float) -> None:
        """Consider two near networks; the better one is the target."""
        gain = self._networks[second].accuracy - self._networks[first].accuracy
        baseline, target = (first, second) if gain > 0 else (second, first)
        if abs(gain) < max(self._settings.min_gain, ROUNDING) - ROUNDING / 2:
            self.left_out["gain_too_small"] += 1
            return
        ahead = (self._place[target] - self._place[baseline]) % len(self._networks)
        kept = self._kept[baseline]
        if len(kept) < SPARE * self._settings.pairs_per_network:
            heapq.heappush(kept, (-ahead, target, jaccard))
            return
        self.left_out["baseline_has_enough"] += 1
        if -kept[0][0] > ahead:
            heapq.heapreplace(kept, (-ahead, target, jaccard))

    def weights(self) -> Counter[str]:
        """About how many pairs each family is good for by itself, and one more."""
        found = Counter({network.family: 1 for network in self._networks})
        for baseline, kept in self._kept.items():
            family = self._networks[baseline].family
            own = sum(self._networks[target].family == family for _, target, _ in kept)
            found[family] += min(own, self._settings.pairs_per_network)
        return found

    def queue(self, families: FamilySplit) -> "PairQueue":
        """The kept pairs whose ends belong to one split, to be ordered. This object is empty then."""
        waiting: dict[int, deque[PairCandidate]] = {}
        for baseline in sorted(self._kept, key=lambda place: self._place[place]):
            split = families.of(self._networks[baseline].family)
            candidates = deque[PairCandidate]()
            for _, target, jaccard in sorted(self._kept.pop(baseline), reverse=True):
                if families.of(self._networks[target].family) is split:
                    candidates.append(PairCandidate(baseline, target, jaccard))
                else:
                    self.left_out["across_splits"] += 1
            waiting[baseline] = candidates
        return PairQueue(self._networks, self._settings, families, waiting, self.left_out)


class PairQueue:
    """Gives out candidates round by round, one of each baseline a round, while there is room for them.

    What was taken holds its room until `settle` says what became of it.
    """

    def __init__(
        self,
        networks: Sequence[RecordedNetwork],
        settings: PairSettings,
        families: FamilySplit,
        waiting: dict[int, deque[PairCandidate]],
        left_out: Counter[str],
    ) -> None:
        self._networks = networks
        self._families = families
        self._waiting = waiting
        self._turns = deque(waiting)
        self._left_out = left_out
        self._made: Counter[_Share] = Counter()
        self._open: Counter[_Share] = Counter()
        validation = round(settings.validation_share * settings.max_pairs)
        self._rooms: dict[str, int] = {
            "baseline_has_enough": settings.pairs_per_network,
            "target_has_enough": settings.pairs_per_network,
            Split.VALIDATION: validation,
            Split.TRAIN: settings.max_pairs - validation,
        }
        self.total = sum(map(len, waiting.values()))
        self.done = 0

    def take(self, count: int) -> list[PairCandidate]:
        """At most `count` candidates; none when no more is to be ordered."""
        taken: list[PairCandidate] = []
        passed = 0
        while len(taken) < count and passed < len(self._turns):
            baseline = self._turns.popleft()
            candidate = self._next_of(baseline)
            if candidate is None:
                continue
            self._turns.append(baseline)
            shares = self._shares(candidate)
            if any(self._made[share] + self._open[share] >= self._rooms[share[0]] for share in shares):
                passed += 1  # there may be room once the open ones are settled
                continue
            passed = 0
            self._waiting[baseline].popleft()
            self._open.update(shares)
            taken.append(candidate)
        return taken

    def settle(self, candidate: PairCandidate, left_out: str | None = None) -> None:
        """Count a candidate that was taken: as made, or as left out for a reason."""
        shares = self._shares(candidate)
        self.done += 1
        self._open.subtract(shares)
        if left_out is None:
            self._made.update(shares)
        else:
            self._left_out[left_out] += 1

    def split_of(self, candidate: PairCandidate) -> Split:
        """The split of both its ends."""
        return self._families.of(self._networks[candidate.baseline].family)

    def _next_of(self, baseline: int) -> PairCandidate | None:
        """The baseline's next candidate that is not barred for good; those that are get counted."""
        waiting = self._waiting[baseline]
        while waiting:
            full = [s for s in self._shares(waiting[0]) if self._made[s] >= self._rooms[s[0]]]
            if not full:
                return waiting[0]
            waiting.popleft()
            self.done += 1
            self._left_out["enough_pairs" if full[0][0] in set(Split) else full[0][0]] += 1
        return None

    def _shares(self, candidate: PairCandidate) -> tuple["_Share", ...]:
        """Whose room a candidate takes."""
        return (
            ("baseline_has_enough", candidate.baseline),
            ("target_has_enough", candidate.target),
            (self.split_of(candidate), 0),
        )


_Share = tuple[str, int]


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
