"""What a search is: its request, its seeds, its names and its funnel. Pure.

Every random choice of a search derives from its seed, a purpose and a place (cycle, slot), never from
its id or the clock: two searches with one seed make the same candidates (arXiv 2605.04903 names the
missing seeding of its own loop as a weakness). Selection, judging and finals have their own modules.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.measurements import Limits
from contracts.names import Integrity, IsolationTier, SearchState, SlotState
from contracts.proposals import DataShape, DeploymentLimits, EditPermissions
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.fine_tune_plan import FineTunePlan
from gateway.domain.model_budget import BudgetStop, ModelBudget
from gateway.domain.novelty import NoveltyRules
from gateway.domain.rerun import AuditPlan, ReplicatePlan

MAX_CYCLES = 100
MAX_CANDIDATES_PER_CYCLE = 200
MAX_BASELINES = 200
MAX_FINAL_SEEDS = 20


@dataclass(frozen=True)
class ProposerChoice:
    """Which proposer fills the slots, and its own options."""

    kind: str = "mutation"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchRequest:
    """A search as accepted; it never changes afterwards. `baselines` are resolved names, in slot order."""

    name: str
    dataset: str
    baselines: tuple[str, ...]
    cycles: int = 3
    candidates_per_cycle: int = 8
    seed: int = 0
    proposer: ProposerChoice = field(default_factory=ProposerChoice)
    edits: EditPermissions = field(default_factory=EditPermissions)
    deployment: DeploymentLimits = field(default_factory=DeploymentLimits)
    data_shape: DataShape | None = None
    """Of the data set, for whose images the costs that `deployment` limits are counted."""
    feedback: FeedbackMemory = field(default_factory=FeedbackMemory)
    model_budget: ModelBudget = field(default_factory=ModelBudget)
    fine_tune: FineTunePlan | None = None
    """How a local model learns from the elites; None: it stays as it is."""
    adapter: str | None = None
    """What the first cycle proposes with; None: the model as it is."""
    epochs: int = 1
    train_images: int | None = None
    limits: Limits = field(default_factory=Limits)
    threads: int = 1
    device: str = "cpu"
    minimum_tier: IsolationTier = IsolationTier.NAMESPACES
    minimum_gpu_memory_bytes: int = 0
    integrity: Integrity = Integrity.STANDARD
    novelty: NoveltyRules = field(default_factory=NoveltyRules)
    elites: int = 8
    replicates: ReplicatePlan | None = None
    """How contenders are trained again before they become elites; None: one run each decides."""
    audit_sample: AuditPlan | None = None
    """How many random candidates of a cycle are trained once more, which selection never sees."""
    breeds: bool = True
    """False of a control arm: parents are the baselines alone, in every cycle."""
    final_seeds: int = 3


@dataclass(frozen=True)
class Funnel:
    """How many slots came how far; each stage is part of the one before.

    `proposed` is the denominator of every rate. `lost` slots fell to the platform's fault, and nothing was
    proposed for `skipped` ones because the search had spent its budget: neither is in any other count.
    `elite` counts those that are elite now; a later cycle may displace them.
    """

    proposed: int = 0
    applied: int = 0
    novel: int = 0
    ran: int = 0
    elite: int = 0
    lost: int = 0
    skipped: int = 0


_BEFORE_APPLIED = {SlotState.PENDING, SlotState.PROPOSED, SlotState.REFUSED}
_BEFORE_NOVEL = _BEFORE_APPLIED | {SlotState.APPLIED, SlotState.TRACING, SlotState.DUPLICATE}


def count_funnel(tallied: Mapping[tuple[SlotState, bool], int]) -> Funnel:
    """The funnel of slots counted by (state, elite): of one cycle, or of all cycles after cycle 0."""
    lost = sum(count for (state, _), count in tallied.items() if state is SlotState.LOST)
    skipped = sum(count for (state, _), count in tallied.items() if state is SlotState.SKIPPED)
    kept = {key: count for key, count in tallied.items() if key[0] not in {SlotState.LOST, SlotState.SKIPPED}}
    return Funnel(
        proposed=sum(count for (state, _), count in kept.items() if state is not SlotState.PENDING),
        applied=sum(count for (state, _), count in kept.items() if state not in _BEFORE_APPLIED),
        novel=sum(count for (state, _), count in kept.items() if state not in _BEFORE_NOVEL),
        ran=sum(count for (state, _), count in kept.items() if state is SlotState.JUDGED),
        elite=sum(count for (state, elite), count in kept.items() if state is SlotState.JUDGED and elite),
        lost=lost,
        skipped=skipped,
    )


def derive_number(*parts: object, bits: int = 63) -> int:
    """A number of `bits` (≤ 64) bits from SHA-256 over the parts; the same on every machine and version."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def slot_seed(search_seed: int, cycle: int, slot: int) -> int:
    """The proposer's seed for one slot, 63 bits."""
    return derive_number("slot", search_seed, cycle, slot)


def training_seed(search_seed: int) -> int:
    """The one seed, 31 bits, that every slot of a search trains with.

    Common random numbers: candidates of a cycle differ by their architecture, not by the order of data.
    """
    return derive_number("training", search_seed, bits=31)


def final_training_seeds(search_seed: int, count: int) -> tuple[int, ...]:
    """`count` distinct 31-bit seeds for the finals; none is the seed that selection has seen."""
    seeds: list[int] = []
    draw = 0
    while len(seeds) < count:
        seed = derive_number("final", search_seed, draw, bits=31)
        draw += 1
        if seed not in seeds and seed != training_seed(search_seed):
            seeds.append(seed)
    return tuple(seeds)


def public_split_key(dataset: str, search_seed: int) -> str:
    """Draws the two halves of the official split, 64 hex digits; the same wherever the search is repeated.

    Not secret: under `standard` integrity the labels are public anyway. `strict` needs a journalled key.
    """
    return hashlib.sha256(f"halves\x1f{dataset}\x1f{search_seed}".encode()).hexdigest()


def proposal_id(search_id: str, cycle: int, slot: int) -> str:
    """The name of a slot and of what is proposed in it."""
    return f"{search_id}-c{cycle:03d}-s{slot:03d}"


def novelty_scope(search_id: str) -> str:
    """Where the filter keeps the architectures of a search."""
    return f"search:{search_id}"


@dataclass(frozen=True)
class PauseReason:
    """Why the platform paused a search: somebody has to change something before it can go on."""

    code: str
    """That of the ProposerBlocked, such as `key_refused` or `model_unknown`."""
    message: str
    remedy: str


@dataclass(frozen=True)
class SearchRecord:
    """A search as stored: its request, where it is, how it ended."""

    id: str
    tenant: str
    request: SearchRequest
    state: SearchState
    cycle: int
    """The cycle at work; 0 while the baselines are measured."""
    classes: int | None
    waiting_for: str | None
    """What the search waits for when a service is away, for people."""
    paused_by: PauseReason | None
    """None of a search that runs, and of one that somebody paused."""
    stopped_by: BudgetStop | None
    """Set once the search proposes no more; what was proposed is finished."""
    platform_waits: dict[str, int]
    """How often the search waited for what its proposer depends on, by the code of ProposerBlocked."""
    failure: str | None
    final: dict[str, Any] | None
    control_of: str | None
    """The search whose control arm this is."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    def reveals(self, proposal_id: str) -> bool:
        """Whether the sealed half of a candidate may be shown: finalists', once the search has succeeded."""
        if self.state is not SearchState.SUCCEEDED or self.final is None:
            return False
        return proposal_id in {self.final["winner"]["proposal_id"], self.final["baseline"]["proposal_id"]}
