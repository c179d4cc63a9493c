"""An evaluation as the world sees it.

Within a search nobody sees `audit_accuracy` here, nor, before its end, the flag about the sealed half.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, NotRequired

from typing_extensions import TypedDict

from contracts.failures import Failure
from contracts.measurements import SEALED_HALF_DISAGREES, Isolation, Limits, Measurement, SmokeResult
from contracts.names import AttemptKind, AttemptState, EvaluationState, Integrity, IsolationTier
from gateway.domain.evaluation import AttemptRecord, EvaluationRecord, Hyperparameter, TraceSummary
from gateway.domain.placement import Obstacle
from gateway.schemas.shape import SHOWN, SOME, Sha256


@dataclass(frozen=True)
class RequestDocument:
    """The request, defaults filled in; the source is named by `provenance.candidate_id`."""

    __pydantic_config__ = SHOWN

    dataset: str
    epochs: int
    seeds: tuple[int, ...]
    train_images: int | None
    hyperparameters: dict[str, Hyperparameter]
    limits: Limits
    device: str
    threads: int
    integrity: Integrity
    minimum_tier: IsolationTier
    minimum_gpu_memory_bytes: int
    priority: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class AttemptDocument:
    """One run in one sandbox."""

    __pydantic_config__ = SHOWN

    id: str
    seed: int
    fence: int
    state: AttemptState
    agent: str | None
    phase: str | None
    measurement: Measurement | None
    smoke: SmokeResult | None
    trace: TraceSummary | None
    failure: Failure | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ProvenanceDocument(TypedDict):
    """What it takes to run the evaluation again: the last fields are there once an attempt has told them."""

    __pydantic_config__ = SOME  # type: ignore[misc]

    candidate_id: Sha256
    reused_from: str | None
    """The earlier evaluation whose record answers this one."""
    dataset: NotRequired[str]
    dataset_hash: NotRequired[str]
    environment_digest: NotRequired[str]
    """SHA-256 over the interpreter, torch, torchvision, numpy and the guest's own source."""
    seed: NotRequired[int]
    device: NotRequired[str]
    threads: NotRequired[int]
    runner_version: NotRequired[str]
    details: NotRequired[dict[str, str]]


@dataclass(frozen=True)
class EvaluationDocument:
    """One evaluation. `measurement` is the mean over seeds; others have `smoke` or `trace` in its place.

    `waiting_for` says of a queued one why no agent that is there now can run it; null when one can.
    """

    __pydantic_config__ = SHOWN

    id: str
    kind: AttemptKind
    state: EvaluationState
    queue_position: int | None
    waiting_for: Obstacle | None
    failure: Failure | None
    request: RequestDocument
    measurement: Measurement | None
    smoke: SmokeResult | None
    trace: TraceSummary | None
    isolation: Isolation | None
    provenance: ProvenanceDocument
    flags: tuple[str, ...]
    attempts: tuple[AttemptDocument, ...]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class EvaluationList:
    """A page, newest first."""

    __pydantic_config__ = SHOWN

    items: tuple[EvaluationDocument, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class AttemptLog:
    """What a candidate printed in one attempt."""

    __pydantic_config__ = SHOWN

    attempt_id: str
    seed: int
    log: str
    """stdout and stderr: bounded, control characters escaped, untrusted."""


@dataclass(frozen=True)
class LogList:
    """Attempt by attempt."""

    __pydantic_config__ = SHOWN

    items: tuple[AttemptLog, ...]


def evaluation_document(record: EvaluationRecord) -> EvaluationDocument:
    """The public view of a record."""
    hidden = record.search_id is not None
    request = record.request
    return EvaluationDocument(
        id=record.id,
        kind=request.kind,
        state=record.state,
        queue_position=record.queue_position,
        waiting_for=record.obstacle,
        failure=record.failure,
        request=RequestDocument(
            dataset=request.dataset,
            epochs=request.epochs,
            seeds=request.seeds,
            train_images=request.train_images,
            hyperparameters=request.hyperparameters,
            limits=request.limits,
            device=request.device,
            threads=request.threads,
            integrity=request.integrity,
            minimum_tier=request.minimum_tier,
            minimum_gpu_memory_bytes=request.minimum_gpu_memory_bytes,
            priority=request.priority,
            tags=request.tags,
        ),
        measurement=_shown(record.measurement, hidden),
        smoke=record.smoke,
        trace=record.trace,
        isolation=record.isolation,
        provenance=_provenance(record),
        flags=tuple(flag for flag in record.flags if flag != SEALED_HALF_DISAGREES or not record.sealed),
        attempts=tuple(_attempt(attempt, hidden) for attempt in record.attempts),
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )


def _attempt(record: AttemptRecord, hidden: bool) -> AttemptDocument:
    return AttemptDocument(
        id=record.id,
        seed=record.seed,
        fence=record.fence,
        state=record.state,
        agent=record.agent_id,
        phase=record.phase,
        measurement=_shown(record.measurement, hidden),
        smoke=record.smoke,
        trace=record.trace,
        failure=record.failure,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )


def _shown(measurement: Measurement | None, hidden: bool) -> Measurement | None:
    if measurement is None or not hidden:
        return measurement
    return replace(measurement, audit_accuracy=None)


def _provenance(record: EvaluationRecord) -> ProvenanceDocument:
    known: dict[str, Any] = {} if record.provenance is None else asdict(record.provenance)
    return {"candidate_id": record.candidate_id, "reused_from": record.reused_from, **known}  # type: ignore[typeddict-item]
