"""What the instruments of the theory and a replay of selection answer."""

from typing import Annotated

from pydantic import Field

from gateway.schemas.evaluation_document import EvaluationDocument
from gateway.schemas.shape import Count, ProposalId, SearchId, Shape, Share
from gateway.theory.reading import Fit

Figure = float | int | str | bool | list[float] | None


class EstimateShape(Shape):
    """A number and its 95 % interval."""

    value: float
    interval: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    """Null where nothing carries a spread."""


class ReadingShape(Shape):
    """One instrument's word."""

    instrument: Annotated[str, Field(examples=["monotone_quality"])]
    claim: str
    """What the theory says."""
    fit: Fit
    """`holds`, `undecided`, `fails` (the data contradict it) or `cannot_be_told` (of this search)."""
    verdict: str
    """In plain words."""
    cannot_tell: str
    """What these data cannot say, however they come out."""
    predicted: EstimateShape | None
    observed: EstimateShape | None
    figures: dict[str, Figure | list[dict[str, Figure]]]
    """What a picture of it needs: values, and lists of records, such as `cycles`. By instrument."""


class TheoryDocument(Shape):
    """The convergence theory against one search."""

    search_id: SearchId
    readings: list[ReadingShape]


class FilterEffectDocument(Shape):
    """What the novelty filter adds to diversity, over pairs of searches."""

    with_filter: list[SearchId]
    without_filter: list[SearchId]
    readings: list[ReadingShape]


class CandidateReplay(Shape):
    """One candidate from the journal once more."""

    proposal_id: ProposalId
    proposed_again: bool | None
    """Whether its proposer answers the same, to the last character. Null of baselines and language models."""
    applied_again: bool | None
    """Whether the recorded answer makes the same source of the recorded parent. Null of baselines."""
    recorded_accuracy: Share
    """What the evaluation has to end with on the same device and versions, to the last bit on a CPU."""
    evaluation: EvaluationDocument
    """Queued: not answered from the record, and no part of the search."""


class ReplayRules(Shape):
    """What was changed; null: as it was."""

    elites: Count | None
    seeds: Count | None
    novelty_threshold: float | None


class ReplayedCycleShape(Shape):
    """The elites as a cycle closed, best first."""

    cycle: Count
    recorded: list[ProposalId]
    replayed: list[ProposalId]
    copies: list[ProposalId]
    """Candidates of the cycle that would have been turned away as copies."""
    unscored: list[ProposalId]
    """Copies that would have been let through; nobody knows what they would have scored."""
    too_few_runs: Count
    """Candidates so far with fewer runs than asked for: they keep the score that they have."""
    differs: bool
    """Whether others are elite, or in another order."""


class ReplayDocument(Shape):
    """Selection replayed on recorded scores."""

    search_id: SearchId
    rules: ReplayRules
    diverges_after: Count | None
    """The first cycle with other elites: what later ones proposed is not what they would have. Null: none."""
    note: str
    cycles: list[ReplayedCycleShape]
