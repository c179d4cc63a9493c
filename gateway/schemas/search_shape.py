"""How searches and their cycles look in answers; `search_document` makes them."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.measurements import Limits
from contracts.names import Integrity, IsolationTier, SearchState
from contracts.proposals import DeploymentLimits, EditPermissions
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.finals import FinalPair
from gateway.domain.fine_tune_plan import EliteDeltas
from gateway.domain.model_budget import BudgetStop, ModelBudget
from gateway.domain.novelty import NoveltyRules
from gateway.domain.rerun import AuditPlan, ReplicatePlan, RerunTally
from gateway.domain.search import Funnel, PauseReason, ProposerChoice
from gateway.domain.training_pairs import PairSettings
from gateway.schemas.candidate_shape import CandidateDocument
from gateway.schemas.fine_tune_body import FineTuneSettingsBody
from gateway.schemas.fine_tune_shape import CycleFineTuneDocument
from gateway.schemas.shape import Bytes, Count, Moment, SearchId, Seconds, Shape, Share
from gateway.theory.diversity import Action, AlarmThresholds, Measure


class FineTunePlanDocument(Shape):
    """How the search's model learns from the elites."""

    every: Count
    """After so many cycles each."""
    settings: FineTuneSettingsBody
    """What was said; the preset decides the rest."""
    replay: Share
    """Of the deltas that are learnt from, at most this share was learnt before."""
    deltas: EliteDeltas
    training_pairs: PairSettings | None
    alarms: AlarmThresholds | None
    """When collapsing proposals stop it; null: never."""


class SearchRequestDocument(Shape):
    """The request, defaults filled in and baselines named."""

    name: str
    dataset: Annotated[str, Field(examples=["cifar-10"])]
    baselines: Annotated[list[str], Field(examples=[["vgg-small", "lemur/ResNet"]])]
    cycles: Count
    candidates_per_cycle: Count
    seed: Count
    proposer: ProposerChoice
    edits: EditPermissions
    deployment: DeploymentLimits
    feedback: FeedbackMemory
    model_budget: ModelBudget
    fine_tune: FineTunePlanDocument | None
    adapter: str | None
    """What the first cycle proposes with; null: the model as it is."""
    epochs: Count
    train_images: Count | None
    """Null: all."""
    limits: Limits
    threads: Count
    device: Annotated[str, Field(examples=["cpu", "cuda:0"])]
    minimum_tier: IsolationTier
    minimum_gpu_memory_bytes: Bytes
    integrity: Integrity
    novelty: NoveltyRules
    elites: Count
    replicates: ReplicatePlan | None
    audit_sample: AuditPlan | None
    breeds: bool
    """False of a control arm: it proposes from the baselines alone."""
    final_seeds: Count


class SearchProgressDocument(Shape):
    """How far a search is."""

    cycle: Count
    """The cycle at work; 0 while the baselines are measured."""
    cycles: Count
    slots_done: Count
    slots_total: Count
    waiting_for: str | None
    """What it waits for where a part of the platform is away, in words."""
    platform_waits: Annotated[dict[str, Count], Field(examples=[{"endpoint_unreachable": 2}])]
    """How often it waited for what its proposer depends on, by code."""


class SpendingDocument(Shape):
    """What language models have taken, summed over the calls that say it."""

    calls: Count
    repairs: Count
    """Of the calls, those that asked for a better answer after a refused one."""
    prompt_tokens: Count
    completion_tokens: Count
    tokens: Count
    tokens_per_valid_candidate: Annotated[float | None, Field(ge=0)]
    """Valid are candidates that were trained and scored; null where there is none."""
    cost_usd: Annotated[float | None, Field(ge=0, examples=[0.42])]
    """By the operator's prices; null where no call has one."""
    seconds: Seconds
    """That the calls took, one after the other; they may have run side by side."""
    calls_without_tokens: Count
    calls_without_cost: Count


class FinalDocument(Shape):
    """Winner and baseline on fresh seeds, compared on the sealed half."""

    winner: CandidateDocument
    baseline: CandidateDocument
    per_seed: list[FinalPair]
    mean_gain: Annotated[float | None, Field(ge=-1, le=1, examples=[0.031])]
    """Winner minus baseline, as a fraction, whatever its sign."""
    gain_interval: Annotated[list[float] | None, Field(min_length=2, max_length=2, examples=[[0.012, 0.050]])]
    """Lower and upper end of the paired t interval; null of fewer than two seeds."""
    confidence: Share
    scored_on: Literal["sealed_half"]
    note: str
    """What the numbers cannot carry, in words."""


class SearchDocument(Shape):
    """A search with its progress."""

    id: SearchId
    name: str
    state: SearchState
    request: SearchRequestDocument
    progress: SearchProgressDocument
    paused_by: PauseReason | None
    """Why the platform paused it; null where somebody asked for it."""
    stopped_by: BudgetStop | None
    """Which limit of its budget is spent; what was proposed is finished."""
    funnel: Funnel
    reruns: RerunTally
    """How many candidates were trained again, and what that took."""
    model: SpendingDocument
    best: CandidateDocument | None
    """The best elite so far, baselines included."""
    final: FinalDocument | None
    """Once it has succeeded with a winner."""
    control: SearchId | None
    """Its control arm: as many proposals from the baselines alone. Cancelled and removed by itself."""
    control_of: SearchId | None
    """The search whose control arm this is."""
    failure: str | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class SearchList(Shape):
    """A page of searches, newest first."""

    items: list[SearchDocument]
    next_cursor: SearchId | None
    """Sent as `cursor` it gives the next page; null: there is none."""


class DiversityDocument(Shape):
    """How diverse the sources of a cycle are, before the filter turned any away."""

    sources: Count
    """Slots of which a source came."""
    new: Count
    """Of these, how many the novelty filter knew nothing like; evaluated copies are not among them."""
    unique_source_rate: Share | None
    """Distinct source texts per source."""
    traced: Count
    """Sources whose computation graph is known."""
    unique_graph_rate: Share | None
    """Distinct computation graphs per traced source; null where none was traced."""
    compared: Count
    """Sources that the two next figures are of: all, or of many as many drawn by the search's seed."""
    mean_distance: Share | None
    """Of two sources: the Jaccard distance of their token shingles, from sketches; null of fewer than two."""
    token_entropy: Annotated[float | None, Field(ge=0, examples=[4.2])]
    """Of the tokens of all compared sources, in nats."""


class AlarmDocument(Shape):
    """A threshold that the proposals of a cycle fell under, and what was done."""

    measure: Measure
    value: float
    threshold: float
    action: Action


class CycleDocument(Shape):
    """One cycle. Cycle 0 counts the baselines, as if they had been proposed."""

    cycle: Count
    state: Literal["finished"] | SearchState
    """`finished`, or the state of the search while the cycle is open."""
    funnel: Funnel
    reruns: RerunTally
    """How many candidates were trained again, and what that took."""
    best_accuracy: Share | None
    mean_accuracy: Share | None
    failures: Annotated[dict[str, Count], Field(examples=[{"train_error": 2, "timeout": 1}])]
    """Every failure, by its reason."""
    delta_failures: Annotated[dict[str, Count], Field(examples=[{"hunk_unplaceable": 3}])]
    """Proposals of which no source came, by the applier's code."""
    model: SpendingDocument
    diversity: DiversityDocument | None
    """Counted as the cycle closes; null before."""
    adapter: str | None
    """What its proposals were made with."""
    fine_tune: CycleFineTuneDocument | None
    """What was learnt when it had closed."""
    alarm: AlarmDocument | None
    """Of collapsing proposals, which was acted upon when it had closed."""


class CycleList(Shape):
    """The cycles so far."""

    items: list[CycleDocument]
    next_cursor: None


class _Place(Shape):
    cycle: Count
    proposer: Annotated[str, Field(examples=["mutation"])]


class ProposalCount(_Place):
    """What a proposer answered in a cycle."""

    answered: Count
    applied: Count
    mean_confidence: Share | None
    """Of the applied deltas; null of none."""


class DeltaFailureCount(_Place):
    """Proposals of which no source came."""

    code: Annotated[str, Field(examples=["hunk_unplaceable"])]
    count: Count


class HunkCount(_Place):
    """Hunks, by how they were placed. `reason` is empty unless they were refused."""

    status: Annotated[str, Field(examples=["exact", "moved", "repaired", "refused"])]
    reason: str
    count: Count


class RepairCount(_Place):
    """What was understood although it was not written so."""

    kind: Annotated[str, Field(examples=["indentation"])]
    count: Count


class DiagnosticsDocument(Shape):
    """What became of a search's deltas."""

    search_id: SearchId
    proposals: list[ProposalCount]
    delta_failures: list[DeltaFailureCount]
    hunks: list[HunkCount]
    repairs: list[RepairCount]
