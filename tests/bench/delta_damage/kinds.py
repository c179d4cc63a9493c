"""What a kind of damage is, and how instances of it are drawn: seeded, and never harmless."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .hunks import Hunks, diff_text
from .pairs import Pair

TRIES_A_PAIR = 10


@dataclass(frozen=True)
class Damaged:
    """A damaged answer, and what is right to make of it."""

    text: str
    right: frozenset[str]
    """The sources that may result; empty where the only right answer is to refuse."""
    baseline: str | None = None
    """What it is applied to, where that is not the pair's own baseline."""
    may_refuse: bool = False
    """Refusing is as right as a right source."""


Damage = Callable[[Pair, random.Random], Damaged | None]
"""Draws one instance; None where this pair has no place for it, or no reader could decide what is right."""


@dataclass(frozen=True)
class Kind:
    """One kind of damage."""

    name: str
    definition: str
    damage: Damage


@dataclass(frozen=True)
class Instance:
    """One task for an applier."""

    kind: str
    pair: Pair
    baseline: str
    answer: str
    right: frozenset[str]
    may_refuse: bool

    @property
    def must_refuse(self) -> bool:
        """Whether refusing is the only right answer."""
        return not self.right


def meaning(pair: Pair, hunks: Hunks) -> Damaged:
    """The hunks as they are written now stand for the pair's target."""
    return Damaged(diff_text(hunks), frozenset({pair.target}))


def draw(kind: Kind, pairs: Sequence[Pair], count: int, seed: int) -> list[Instance]:
    """Up to `count` different instances, each pair in turn before any a second time."""
    found: dict[tuple[str, str], Instance] = {}
    for instance in _drawn(kind, pairs, seed):
        found.setdefault((instance.pair.name, instance.answer), instance)
        if len(found) == count:
            break
    return list(found.values())


def _drawn(kind: Kind, pairs: Sequence[Pair], seed: int) -> Iterator[Instance]:
    order = random.Random(f"{seed}:{kind.name}").sample(pairs, len(pairs))
    for number in range(TRIES_A_PAIR):
        for pair in order:
            damaged = kind.damage(pair, random.Random(f"{seed}:{kind.name}:{pair.name}:{number}"))
            if damaged is not None and (kind.name == INTACT or _does_harm(pair, damaged)):
                baseline = pair.baseline if damaged.baseline is None else damaged.baseline
                may_refuse = damaged.may_refuse or not damaged.right
                yield Instance(kind.name, pair, baseline, damaged.text, damaged.right, may_refuse)


def _does_harm(pair: Pair, damaged: Damaged) -> bool:
    return damaged.text != diff_text(pair.hunks) or damaged.baseline not in {None, pair.baseline}


INTACT = "intact"
"""The control: nothing is damaged. It counts in no mean."""
