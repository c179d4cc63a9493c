"""What an operator is: a name, a weight, and the sites it finds in a source."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from generator_svc.proposers.mutation.subject import Subject


@dataclass(frozen=True)
class Change:
    """A mutated source, not yet verified, and one line for people about what changed."""

    source: str
    summary: str


Site = Callable[[random.Random], Change | None]
"""One place where an operator can act. Draws the details; None when nothing fits after all."""


@dataclass(frozen=True)
class Operator:
    """A family of mutations. `weight` is its default chance, relative to the others."""

    name: str
    weight: float
    sites: Callable[[Subject], Sequence[Site]]
    needs_proof: bool = True
    """Whether it changes shapes or modules, and so acts only where a symbolic run proves the result."""
    never_with: tuple[str, ...] = ()
    """Operators that could undo this one, and so never join it in a delta."""
