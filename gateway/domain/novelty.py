"""What a search does about architectures that are not new: its rules, and what a copy is like. Pure.

The filter says how alike two architectures are; here is decided with whom a candidate is compared and what
follows. Three policies: a copy ends as `duplicate`; it is evaluated and bears a flag; or it is evaluated and
stands lower in selection. The measured accuracy stays what it is under each of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from contracts.names import NoveltyLayer

DEFAULT_PENALTY = 0.05


class NoveltyScope(StrEnum):
    """With what a candidate is compared, from narrow to wide."""

    PARENT = "parent"
    """The one candidate that its delta starts from."""
    SEARCH = "search"
    """Everything admitted in this search so far, baselines included."""
    CORPUS = "corpus"
    """The shipped baselines and the imported reference networks."""
    TENANT = "tenant"
    """Everything that was ever admitted in the tenant's searches."""


class CopyPolicy(StrEnum):
    """What becomes of a copy."""

    REJECT = "reject"
    """It ends as `duplicate` and is not evaluated."""
    FLAG = "flag"
    """It is evaluated, and says what it is like."""
    PENALISE = "penalise"
    """As `flag`, and selection takes it for less accurate than it is."""


@dataclass(frozen=True)
class NoveltyRules:
    """With what a search compares its candidates, when one is a copy, and what follows."""

    scopes: tuple[NoveltyScope, ...] = (NoveltyScope.SEARCH,)
    """Without `search`, what this search has admitted is still looked through for the very same program."""
    policy: CopyPolicy = CopyPolicy.REJECT
    threshold: float = 0.90
    """Jaccard similarity from which an architecture is a copy."""
    penalty: float = DEFAULT_PENALTY
    """Under `penalise`: the share of its accuracy that a copy loses in selection."""
    structure: bool = False
    """Whether candidates are traced, so that those that compute the same are recognised."""


@dataclass(frozen=True)
class Likeness:
    """What a candidate is a copy of, and by what that was seen."""

    scope: NoveltyScope
    layer: NoveltyLayer
    similarity: float
    """As the layer measures it, in [0, 1]."""
    name: str
    """Of the nearest architecture: a baseline's, or the short name of a slot."""
    proposal_id: str | None = None
    """Of the nearest architecture; None where it is one of the corpus."""
    penalty: float = 0.0
    """The share of its accuracy that the candidate loses in selection."""


@dataclass(frozen=True)
class ScreenedSlot:
    """What screening has found of a slot."""

    likeness: Likeness | None = None
    """What it is a copy of; None: it is new."""
    difference: tuple[str, ...] = ()
    """Of a copy: lines of a diff from there to here, untrusted."""
    ends_slot: bool = False
    """Whether it is not evaluated."""
    traced: bool | None = None
    """Whether computation graphs were compared; None where nobody asked, or equal sources decided before."""
    structure_key: str | None = None
    """Of its own graph: equal where two candidates compute the same."""


NOTHING_LIKE_IT = ScreenedSlot()


def tenant_scope(tenant: str) -> str:
    """Where the filter keeps everything that was admitted in a tenant's searches."""
    return f"tenant:{tenant}"


_SHARPNESS = (NoveltyLayer.EXACT, NoveltyLayer.STRUCTURE, NoveltyLayer.JACCARD)
_WIDTH = tuple(NoveltyScope)


def telling(found: Iterable[Likeness]) -> Likeness | None:
    """Of what several scopes have found, what says most: the sharpest layer, then the narrowest scope."""
    return min(found, key=lambda one: (_SHARPNESS.index(one.layer), _WIDTH.index(one.scope)), default=None)


def ends_slot(rules: NoveltyRules, likeness: Likeness) -> bool:
    """Whether a copy is not evaluated.

    The very program that this search has admitted before never is, whatever the policy: its evaluation would
    repeat one with the same data, budget and seed.
    """
    is_here = likeness.scope in {NoveltyScope.PARENT, NoveltyScope.SEARCH}
    return rules.policy is CopyPolicy.REJECT or (is_here and likeness.layer is NoveltyLayer.EXACT)


def priced(rules: NoveltyRules, likeness: Likeness) -> Likeness:
    """A likeness of a copy that is evaluated, with what it costs it in selection."""
    return replace(likeness, penalty=rules.penalty if rules.policy is CopyPolicy.PENALISE else 0.0)
