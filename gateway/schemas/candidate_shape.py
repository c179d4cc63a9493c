"""How candidates look in answers; `search_document` makes them."""

from typing import Annotated

from pydantic import Field

from contracts.jobs import HunkReport
from contracts.names import SlotState
from contracts.proposals import AnswerForm, ModelCall
from gateway.domain.candidate import SlotFailure
from gateway.domain.novelty import Likeness
from gateway.domain.rerun import RerunPurpose
from gateway.schemas.shape import (
    Bytes,
    Count,
    EvaluationId,
    ProposalId,
    Seconds,
    Sha256,
    Shape,
    Share,
    Untrusted,
)


class ParentDocument(Shape):
    """The candidate that a delta starts from."""

    proposal_id: ProposalId
    name: str | None


class RerunDocument(Shape):
    """One further run of a candidate, with a training seed of its own."""

    purpose: RerunPurpose
    """`replicate`: selection goes by it; `audit`: it never does."""
    cycle: Count
    """With which it was asked for."""
    seed: Count
    epochs: Count
    state: SlotState
    accuracy: Share | None
    """On the selection half."""
    failure_reason: Annotated[str | None, Field(examples=["train_error"])]
    cpu_seconds: Seconds | None
    evaluation_id: EvaluationId | None


class CandidateDocument(Shape):
    """One slot of a search and what became of it. Cycle 0 are the baselines."""

    proposal_id: ProposalId
    candidate_id: Sha256 | None
    """SHA-256 of its source; null while there is none."""
    cycle: Count
    slot: Count
    state: SlotState
    parent: ParentDocument | None
    name: Annotated[str, Field(examples=["c001-s003"])]
    family: Annotated[str, Field(examples=["residual"])]
    proposer: Annotated[str | None, Field(examples=["mutation"])]
    """Who answered for the slot; null of a baseline, and before it is answered."""
    summary: Untrusted
    form: AnswerForm | None
    """As what the proposer answered; null of a baseline."""
    delta: str | None
    """The canonical delta from its parent, as a unified diff. Null in `slot` events."""
    delta_code: Annotated[str | None, Field(examples=["applied", "hunk_unplaceable"])]
    """`applied`, or the code of why no source came of the proposal."""
    delta_confidence: Share | None
    """How sure the applier was of a delta that it applied."""
    accuracy: Share | None
    """On the selection half."""
    accuracy_standard_error: Annotated[float | None, Field(ge=0, examples=[0.0047])]
    audit_accuracy: Share | None
    """On the sealed half: of the finalists alone, once the search has succeeded."""
    cpu_seconds: Seconds | None
    peak_memory_bytes: Bytes | None
    claimed_parameters: Count | None
    """The candidate's own word."""
    plausible: bool | None
    """False of an accuracy that chance explains: it is never elite."""
    failure: SlotFailure | None
    duplicate_of: ProposalId | None
    """Of a duplicate: which candidate it is a copy of; null where that is one of the corpus."""
    likeness: Likeness | None
    """What it is a copy of, evaluated or not; null of a candidate that is new."""
    traced: bool | None
    """Whether it was compared by what it computes; null where that was not asked, or equal texts decided."""
    selection_score: Share | None
    """What selection ranks it by: its accuracy or estimate, less the penalty of a copy."""
    estimate: Share | None
    """Accuracy from all runs that selection may see, shrunken towards the mean; null of one run each."""
    reruns: list[RerunDocument]
    """Further runs with fresh seeds. Empty in `slot` events."""
    elite: bool
    evaluation_id: EvaluationId | None


class CandidateList(Shape):
    """A page of candidates."""

    items: list[CandidateDocument]
    next_cursor: ProposalId | None
    """Sent as `cursor` it gives the next page; null: there is none."""


class EliteList(Shape):
    """All that are elite now, best first."""

    items: list[CandidateDocument]
    next_cursor: None


class DeltaReportDocument(Shape):
    """How the applier understood a proposal, refused hunks first where there are many."""

    message: Untrusted
    hunks: list[HunkReport]
    hunks_left_out: Count


class WholeCandidateDocument(CandidateDocument):
    """A candidate with its long texts."""

    difference: list[Untrusted] | None
    """Of a copy: lines of a unified diff from the nearest architecture to this one."""
    delta_report: DeltaReportDocument | None
    source: str | None
    raw_proposal: str | None
    """What the proposer answered, as it came: untrusted."""
    calls: list[ModelCall]
    """The calls of language models behind it; texts that were kept long enough are empty."""
