"""An evaluation: one request to measure one candidate, its attempts, and what is known of it. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from contracts.failures import Failure
from contracts.measurements import Isolation, Limits, Measurement, Provenance, SmokeResult
from contracts.names import AttemptKind, AttemptState, EvaluationState, Integrity, IsolationTier
from gateway.domain.placement import Obstacle

Hyperparameter = float | int | str | bool

TRACE_LIMITS = Limits(wall_seconds=300.0, cpu_seconds=60.0, startup_seconds=120.0)
"""A network is built and its `forward` written down; nothing is trained."""
SMOKE_LIMITS = Limits(wall_seconds=300.0, cpu_seconds=60.0, startup_seconds=120.0, predict_batch_seconds=60.0)
"""Two small batches and one answer. The processor's time binds; on a busy machine the wall must not."""


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
    kind: AttemptKind = AttemptKind.EVALUATE
    """`smoke`: build, learn two small batches, answer one; `trace`: build, and write down what `forward`
    computes. Neither is scored."""
    minimum_gpu_memory_bytes: int = 0
    """Of the GPU that it runs on; 0: any."""


@dataclass(frozen=True)
class TraceSummary:
    """What a trace came to, without its graph: that is long, and read by itself."""

    not_traceable: str | None
    """Why there is no graph: untrusted text. None: there is one."""
    startup_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None = None


def smoke_request(
    source: str,
    dataset: str,
    hyperparameters: Mapping[str, Hyperparameter],
    *,
    priority: int = 0,
    tags: tuple[str, ...] = (),
) -> EvaluationRequest:
    """A request that only asks whether the network works on that data set."""
    return EvaluationRequest(
        source=source,
        dataset=dataset,
        hyperparameters=dict(hyperparameters),
        limits=SMOKE_LIMITS,
        priority=priority,
        tags=tags,
        kind=AttemptKind.SMOKE,
    )


def trace_of(request: EvaluationRequest) -> EvaluationRequest:
    """What only asks for the computation graph of what another request evaluates, where that can run."""
    return replace(
        request,
        epochs=1,
        seeds=(0,),
        train_images=None,
        limits=TRACE_LIMITS,
        kind=AttemptKind.TRACE,
    )


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
    smoke: SmokeResult | None
    trace: TraceSummary | None
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
    """The mean over seeds. None of a smoke evaluation and of a trace, whatever became of them."""
    smoke: SmokeResult | None
    """Of a smoke evaluation that succeeded: its costliest attempt."""
    trace: TraceSummary | None
    """Of a trace that came to its end."""
    isolation: Isolation | None
    provenance: Provenance | None
    flags: tuple[str, ...]
    reused_from: str | None
    attempts: tuple[AttemptRecord, ...]
    queue_position: int | None
    obstacle: Obstacle | None
    """Why nobody who is there now can run it; None if somebody can, or it does not wait."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
