"""Between rows and the domain's words: how evaluations and attempts are written down and read back."""

import hashlib
import json
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter

from contracts.failures import Failure
from contracts.measurements import Isolation, Limits, Measurement, Provenance, SmokeResult, TraceResult
from contracts.names import AttemptKind, AttemptState, EvaluationState, Integrity, IsolationTier, ScoredOn
from gateway.domain.evaluation import AttemptRecord, EvaluationRecord, EvaluationRequest, TraceSummary
from gateway.domain.lifecycle import AttemptFacts
from gateway.domain.placement import Obstacle, Requirements
from gateway.infra.tables import AttemptRow, Document, EvaluationRow

T = TypeVar("T")

_MEASUREMENT = TypeAdapter(Measurement)
_SMOKE = TypeAdapter(SmokeResult)
_TRACE = TypeAdapter(TraceSummary)
_FAILURE = TypeAdapter(Failure)
_ISOLATION = TypeAdapter(Isolation)
_PROVENANCE = TypeAdapter(Provenance)


def request_document(request: EvaluationRequest) -> Document:
    """A request as stored: everything but the source, which has its own column."""
    document = asdict(request)
    del document["source"]
    return document


def stored_request(document: Document, source: str) -> EvaluationRequest:
    """The request back from its document."""
    fields = dict(document)
    return EvaluationRequest(
        source=source,
        seeds=tuple(fields.pop("seeds")),
        tags=tuple(fields.pop("tags")),
        limits=Limits(**fields.pop("limits")),
        integrity=Integrity(fields.pop("integrity")),
        minimum_tier=IsolationTier(fields.pop("minimum_tier")),
        # Requests stored before there were kinds name none.
        kind=AttemptKind(fields.pop("kind", AttemptKind.EVALUATE)),
        **fields,
    )


def reuse_key(request: EvaluationRequest, candidate_id: str, split_key: str, scored_on: ScoredOn) -> str:
    """Equal for two requests that would repeat the same computation: source, data, budget, seeds, split."""
    fields = request_document(request)
    for irrelevant in ("priority", "tags", "reuse", "minimum_tier", "minimum_gpu_memory_bytes"):
        del fields[irrelevant]
    if request.kind is AttemptKind.EVALUATE:
        # So that these keys stay what they were before there were kinds.
        del fields["kind"]
    fields |= {"candidate_id": candidate_id, "split_key": split_key, "scored_on": scored_on}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def attempt_facts(row: AttemptRow) -> AttemptFacts:
    """What the lifecycle needs to know of an attempt."""
    return AttemptFacts(
        row.seed,
        AttemptState(row.state),
        _read(_MEASUREMENT, row.measurement),
        _read(_FAILURE, row.failure),
        _read(_SMOKE, row.smoke),
        # The graph is read for those alone that have one.
        None if row.trace is None else TraceResult(claimed_graph=row.graph, **row.trace),
    )


def attempt_record(row: AttemptRow) -> AttemptRecord:
    """An attempt as the domain knows it."""
    return AttemptRecord(
        id=row.id,
        fence=row.fence,
        seed=row.seed,
        state=AttemptState(row.state),
        agent_id=row.agent_id,
        phase=row.phase,
        measurement=_read(_MEASUREMENT, row.measurement),
        smoke=_read(_SMOKE, row.smoke),
        trace=_read(_TRACE, row.trace),
        failure=_read(_FAILURE, row.failure),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def requirements(row: EvaluationRow) -> Requirements:
    """What an evaluation's attempts ask of their host."""
    return Requirements(row.device, row.tier_strength, row.dataset, row.gpu_memory_bytes, row.threads)


def evaluation_record(
    row: EvaluationRow, queue_position: int | None, obstacle: Obstacle | None, sealed: bool
) -> EvaluationRecord:
    """An evaluation as the domain knows it, with its attempts."""
    return EvaluationRecord(
        id=row.id,
        tenant=row.tenant,
        search_id=row.search_id,
        sealed=sealed,
        candidate_id=row.candidate_id,
        state=EvaluationState(row.state),
        request=stored_request(row.request, row.source),
        failure=_read(_FAILURE, row.failure),
        measurement=_read(_MEASUREMENT, row.measurement),
        smoke=_read(_SMOKE, row.smoke),
        trace=_read(_TRACE, row.trace),
        isolation=_read(_ISOLATION, row.isolation),
        provenance=_read(_PROVENANCE, row.provenance),
        flags=tuple(row.flags),
        reused_from=row.reused_from,
        attempts=tuple(attempt_record(attempt) for attempt in row.attempts),
        queue_position=queue_position,
        obstacle=obstacle,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def document_of(value: Any) -> Document | None:
    """A contract's dataclass as a JSON column, or None."""
    return None if value is None else asdict(value)


def stored_failure(document: Document | None) -> Failure | None:
    """A failure back from its column."""
    return _read(_FAILURE, document)


def trace_columns(trace: TraceResult | None) -> tuple[Document | None, str | None]:
    """A trace as stored: what it came to, and apart from that its graph."""
    if trace is None:
        return None, None
    summary = asdict(trace)
    return summary, summary.pop("claimed_graph")


def _read(kind: TypeAdapter[T], document: Document | None) -> T | None:
    return None if document is None else kind.validate_python(document)
