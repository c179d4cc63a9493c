"""What a set of training pairs is made of: the request, the networks, the split by family, the counts. Pure.

A pair leads from a baseline to a network near it that was recorded with a better first epoch (arXiv
2605.04903 trains on such pairs), or to what the mutation proposer makes of it. Both ends of a pair belong
to families of one split: networks of a family resemble each other, and a model that saw one knows the others.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from contracts.training_pairs import TrainingPair
from gateway.domain.search import derive_number

DRAWS = 64
"""Orders of families that are tried."""


class Split(StrEnum):
    """What a pair is for."""

    TRAIN = "train"
    VALIDATION = "validation"


class Hyperparameters(StrEnum):
    """Which recorded first epochs may be compared.

    With other hyperparameters the better network may be the better trained one: of LEMUR's networks on
    CIFAR-10 many were recorded with hyperparameters drawn at random, and there the same architecture under
    two names differs as much as any two (docs/training-pairs.md).
    """

    SAME = "same"
    ANY = "any"


class PairKind(StrEnum):
    """Where the target is from: recorded in LEMUR, or made by the mutation proposer."""

    LEMUR = "lemur"
    MUTATION = "mutation"


@dataclass(frozen=True)
class PairSettings:
    """Which pairs are asked for. Shares, gains and Jaccard indices are fractions in [0, 1]."""

    dataset: str
    hyperparameters: Hyperparameters
    min_gain: float
    at_least: float
    """Jaccard index of the token shingles of both ends."""
    pairs_per_network: int
    """At most so many with the same baseline, and so many with the same target."""
    max_pairs: int
    """Of recorded networks; mutations come on top."""
    mutation_pairs: int
    validation_share: float
    seed: int
    fewest_lines: int
    """Of the delta without its file headers."""
    most_lines: int


@dataclass(frozen=True)
class RecordedNetwork:
    """A network that pairs can be made of. `accuracy` is of its recorded first epoch, in [0, 1].

    `hyperparameters` are what it was recorded with, as JSON in one spelling.
    """

    name: str
    family: str
    candidate_id: str
    accuracy: float
    hyperparameters: str
    licence: str
    import_id: str


@dataclass(frozen=True)
class MadePair:
    """One pair. Of a mutation neither the target's accuracy nor its similarity is known."""

    split: Split
    kind: PairKind
    baseline: RecordedNetwork
    target: RecordedNetwork | None
    jaccard: float | None
    chat: TrainingPair


@dataclass
class PairCounts:
    """What became of everything that was looked at. `left_out` is counted by reason."""

    networks: int
    copies: int = 0
    not_comparable: int = 0
    near_pairs: int = 0
    made: Counter[tuple[Split, PairKind]] = field(default_factory=Counter)
    left_out: dict[PairKind, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in PairKind}
    )
    delta_lines: dict[Split, Counter[int]] = field(
        default_factory=lambda: {split: Counter() for split in Split}
    )
    """How many pairs have a delta of so many lines."""
    prompt_versions: set[str] = field(default_factory=set)

    def count_pair(self, pair: MadePair) -> None:
        """Add one that was made."""
        self.made[pair.split, pair.kind] += 1
        self.delta_lines[pair.split][pair.chat.delta_lines] += 1
        self.prompt_versions.add(pair.chat.prompt_version)


class FamilySplit:
    """Which families validate; all others train."""

    def __init__(
        self, families: Iterable[str], pairs: Mapping[tuple[str, str], int], share: float, seed: int
    ) -> None:
        """`pairs` counts them by the families of their ends; `share` of them should validate.

        In a seeded order each family is taken that brings the sum nearer to the share. Of several orders the
        one counts that ends nearest and parts the fewest pairs: some families are larger than all that should
        validate, some are kin. Where nothing brings it nearer the smallest family is taken, if others remain.
        """
        # One more for each, so that families without pairs are shared out, too: mutations start from them.
        weights = Counter(dict.fromkeys(families, 1))
        for (one, other), count in pairs.items():
            weights[one] += count if one == other else 0
        goal = share * weights.total()
        drawn = [_drawn(weights, goal, (seed, draw)) for draw in range(DRAWS)]
        taken = min(
            drawn,
            key=lambda chosen: (
                abs(sum(weights[family] for family in chosen) - goal)
                + sum(count for (one, other), count in pairs.items() if (one in chosen) != (other in chosen))
            ),
        )
        if share > 0 and not taken and len(weights) > 1:
            taken = {min(sorted(weights), key=lambda family: weights[family])}
        self.validating = frozenset(taken)

    def of(self, family: str) -> Split:
        """The split of a family."""
        return Split.VALIDATION if family in self.validating else Split.TRAIN


def _drawn(weights: Mapping[str, int], goal: float, seed: tuple[int, int]) -> set[str]:
    """Families in one seeded order, each of which brings the sum of weights nearer to the goal."""
    taken: set[str] = set()
    weight = 0
    for family in sorted(weights, key=lambda family: (derive_number("family", *seed, family), family)):
        if abs(weight + weights[family] - goal) < abs(weight - goal):
            taken.add(family)
            weight += weights[family]
    return taken


def catalogue_digest(networks: Iterable[RecordedNetwork]) -> str:
    """SHA-256, hex, over all that a set of pairs depends on beside its settings."""
    digest = hashlib.sha256()
    for network in networks:
        known = (
            network.name,
            network.family,
            network.candidate_id,
            repr(network.accuracy),
            network.hyperparameters,
            network.licence,
        )
        digest.update("\x1f".join(known).encode() + b"\n")
    return digest.hexdigest()
