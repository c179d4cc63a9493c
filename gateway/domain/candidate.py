"""One slot of a cycle and the candidate that came of it, as the journal keeps them.

A slot is a fixed place in a search: (cycle, slot number). Cycle 0 holds the baselines, every later
cycle the proposals. The long texts (source, raw proposal) stay in the journal and are read when needed.
"""

from dataclasses import dataclass, field

from contracts.names import SlotState
from contracts.proposals import AnswerForm
from gateway.domain.novelty import Likeness
from gateway.domain.rerun import Rerun


@dataclass(frozen=True)
class SlotFailure:
    """Why a slot ended without a score. `reason` is a FailureReason's value.

    `code` is finer where one exists: the applier's taxonomy (hunk_unplaceable, no_op, …), or the phase
    or resource that ran out. `message` may quote a candidate or a proposer: bounded and untrusted.
    """

    reason: str
    message: str
    code: str = ""


@dataclass(frozen=True)
class Score:
    """What the search keeps of a measurement. Accuracies are fractions in [0, 1]."""

    accuracy: float
    """On the selection half, of the first run: measured, and never changed by what comes later."""
    accuracy_standard_error: float
    audit_accuracy: float | None
    """On the sealed half; shown for finalists once the search has ended."""
    cpu_seconds: float
    peak_memory_bytes: int
    claimed_parameters: int | None
    plausible: bool
    """False for an accuracy that chance explains: valid, but never elite."""
    estimate: float | None = None
    """From all runs that selection may see, shrunken; None where the search trains nobody again."""

    @property
    def believed(self) -> float:
        """The accuracy that selection goes by: the estimate where there is one."""
        return self.accuracy if self.estimate is None else self.estimate


@dataclass(frozen=True)
class Slot:
    """One slot with everything but its long texts."""

    proposal_id: str
    search_id: str
    cycle: int
    slot: int
    state: SlotState
    name: str
    """The baseline's name in cycle 0, else a short name of the slot."""
    root_id: str
    """Proposal id of the baseline at the root of the lineage; a baseline is its own root."""
    family: str
    parent_id: str | None = None
    parent_name: str | None = None
    hyperparameters: dict[str, float | int | str | bool] = field(default_factory=dict)
    proposer: str | None = None
    """Who answered for the slot, by the name in the proposal."""
    summary: str = ""
    form: AnswerForm = AnswerForm.DELTA
    """How the proposer answered: with a diff, or with a whole source."""
    delta: str | None = None
    delta_code: str | None = None
    """`applied`, or the code of why no source came of the proposal; None while that is open."""
    delta_confidence: float | None = None
    """In [0, 1], of an applied delta."""
    candidate_id: str | None = None
    failure: SlotFailure | None = None
    duplicate_of: str | None = None
    likeness: Likeness | None = None
    """What it is a copy of: of a duplicate, and of a copy that was evaluated all the same."""
    trace_evaluation_id: str | None = None
    """Writes down what its network computes, before it is compared."""
    traced: bool | None = None
    """Whether it was compared by its computation graph; None where that was not asked, or not needed."""
    structure_key: str | None = None
    """Equal where two candidates compute the same; None of one that was not traced."""
    evaluation_id: str | None = None
    admitted: bool = False
    """Whether the novelty filter must know this architecture."""
    score: Score | None = None
    reruns: tuple[Rerun, ...] = ()
    """Further runs with fresh seeds, in the order in which they were asked for."""
    elite: bool = False
    step_errors: int = 0
    """How often a service answered a step of this slot with an error of its own."""

    @property
    def is_baseline(self) -> bool:
        """Whether the slot belongs to cycle 0."""
        return self.cycle == 0

    @property
    def selection_score(self) -> float | None:
        """By what selection ranks it: what is believed, less the penalty of a copy; None without a score."""
        if self.score is None:
            return None
        return self.score.believed * (1 - (self.likeness.penalty if self.likeness else 0.0))
