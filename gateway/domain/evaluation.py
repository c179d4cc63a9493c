"""An evaluation: one request to measure one candidate, its attempts, and what is known of it. Pure data."""

from dataclasses import dataclass, field
from datetime import datetime

from contracts.failures import Failure
from contracts.measurements import Isolation, Limits, Measurement, Provenance
from contracts.names import AttemptState, EvaluationState, Integrity, IsolationTier

Hyperparameter = float | int | str | bool


@dataclass(frozen=True)
class EvaluationRequest:
    """What to measure, under which budget. Already checked: source rules met, dataset known, ranges kept."""

    source: str
    dataset: str
    epochs: int = 1
    seeds: tuple[int, ...] = (0,)
    """One attempt each; several give a mean and its standard error."""
    train_images: int | None = None
    hyperparameters: dict[str, Hyperparameter] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    threads: int = 1
    device: str = "cpu"
    integrity: Integrity = Integrity.STANDARD
    minimum_tier: IsolationTier = IsolationTier.NAMESPACES
    priority: int = 0
    """Larger runs earlier, within a tenant."""
    tags: tuple[str, ...] = ()
    reuse: bool = True
    """Whether the record of an identical earlier request may answer this one."""


@dataclass(frozen=True)
class AttemptRecord:
    """One run in one sandbox, as the gateway knows it."""

    id: str
    fence: int
    seed: int
    state: AttemptState
    agent_id: str | None
    phase: str | None
    measurement: Measurement | None
    failure: Failure | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class EvaluationRecord:
    """All that is stored about an evaluation, `audit_accuracy` included: the routes decide who sees it."""

    id: str
    tenant: str
    search_id: str | None
    sealed: bool
    """Belongs to a search that has not ended: until then nothing may tell of the sealed half."""
    candidate_id: str
    state: EvaluationState
    request: EvaluationRequest
    failure: Failure | None
    measurement: Measurement | None
    """The mean over seeds."""
    isolation: Isolation | None
    provenance: Provenance | None
    flags: tuple[str, ...]
    reused_from: str | None
    attempts: tuple[AttemptRecord, ...]
    queue_position: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
