"""How applied deltas and screenings look in answers; the generator and the filter make them."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.jobs import HunkReport
from contracts.names import NoveltyLayer, StructureComparison
from gateway.schemas.shape import Shape, Share, Untrusted


class AppliedDeltaDocument(Shape):
    """What became of a delta: all of its hunks were applied, or none."""

    status: Literal["applied", "refused"]
    reason: Annotated[str, Field(examples=["", "hunk_unplaceable", "too_many_parameters"])]
    """Empty when applied; else the code of the refusal."""
    message: Untrusted
    """Empty when applied; else a sentence that names lines and the remedy."""
    confidence: Share
    """How sure the applier is that this was meant."""
    source: str | None
    """The result; null when refused."""
    canonical_delta: str | None
    """The unified diff from the baseline to the result, derived anew; null when refused."""
    hunks: list[HunkReport]
    repair_prompt: str | None
    """Of a refused delta: what to say to the language model that wrote it; untrusted text in fences."""


class NeighbourDocument(Shape):
    """An earlier architecture that is near."""

    id: Annotated[str, Field(examples=["library-vgg-small"])]
    jaccard: Share
    """Similarity of the token shingles of both."""
    label: str
    structure: Share | None
    """Likeness of the computation graphs: 1 if they are isomorphic; null where either was not traced."""


class ScreeningDocument(Shape):
    """Whether an architecture is new."""

    novel: bool
    layer: NoveltyLayer | None
    """What recognised a copy; null when it is new."""
    nearest: list[NeighbourDocument]
    """The nearest first."""
    difference: list[Untrusted]
    """Lines of a unified diff from the nearest architecture to this one."""
    structure: StructureComparison
    """Whether the computation graphs were compared."""
    structure_key: str | None
    """Of this one's computation graph: equal where two are isomorphic."""
