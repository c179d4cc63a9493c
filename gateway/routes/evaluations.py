"""`/v1/evaluations`: submit, read, follow, cancel."""

import json
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter, ValidationError
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from contracts.names import AttemptKind, EvaluationState
from contracts.problems import validation_problem
from gateway.domain.evaluation import EvaluationRecord
from gateway.infra.evaluation_transitions import evaluation_topic
from gateway.infra.idempotency import Answer, answer_once, recall
from gateway.routes.answers import answer_response, idempotency_scope
from gateway.routes.api_document import may_answer, or_a_problem
from gateway.routes.dependencies import IdempotencyKey, ServicesOf, Tenant
from gateway.routes.evaluation_intake import prepared, require_room, submit
from gateway.routes.following import STREAM_ENDS, LastEventId, WaitSeconds, follow, wait_until
from gateway.routes.problems import problem_of
from gateway.schemas.batch_document import BatchDocument
from gateway.schemas.evaluation_body import BatchBody, EvaluationBody
from gateway.schemas.evaluation_document import (
    AttemptLog,
    EvaluationDocument,
    EvaluationList,
    LogList,
    evaluation_document,
)

router = APIRouter(prefix="/v1", tags=["evaluations"])

_DOCUMENT = TypeAdapter(EvaluationDocument)
_BODY = TypeAdapter(EvaluationBody)

Cursor = Annotated[str | None, Query(pattern=r"^[a-z]{2}_[0-9a-f]{1,40}$")]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post(
    "/evaluations", status_code=202, response_model=EvaluationDocument, responses=may_answer(409, 502)
)
def create_evaluation(
    body: EvaluationBody, services: ServicesOf, tenant: Tenant, idempotency_key: IdempotencyKey
) -> Response:
    """Accept an evaluation: once answered with 202 it is on disk and will end in one state."""
    scope = idempotency_scope(tenant, "POST /v1/evaluations", idempotency_key, body.model_dump_json())
    earlier = recall(services.database, scope)
    if earlier is not None:
        return answer_response(earlier)
    request = prepared(body, services, tenant)

    def act(session: Any) -> Answer:
        require_room(services, session, tenant, [request])
        record = submit(services, session, request, tenant, body.callback_url)
        return Answer(202, _rendered(record), f"/v1/evaluations/{record.id}")

    return answer_response(answer_once(services.database, scope, act))


@router.post(
    "/evaluations:batch",
    status_code=202,
    response_model=BatchDocument,
    responses=may_answer(409, 502) | or_a_problem(422, BatchDocument),
)
def create_evaluations(
    body: BatchBody, services: ServicesOf, tenant: Tenant, idempotency_key: IdempotencyKey
) -> Response:
    """Accept up to 100 evaluations. `items[i]` answers item i: `evaluation`, or `error` with a problem.

    202 when at least one was accepted, 422 when none was.
    """
    # Not pydantic's JSON: an item may hold text without an encoding, and is answered with a problem for that.
    canonical = json.dumps(body.items, sort_keys=True)
    scope = idempotency_scope(tenant, "POST /v1/evaluations:batch", idempotency_key, canonical)
    earlier = recall(services.database, scope)
    if earlier is not None:
        return answer_response(earlier)
    checked = [_prepared_item(item, services, tenant) for item in body.items]

    def act(session: Any) -> Answer:
        require_room(services, session, tenant, [item for item in checked if not isinstance(item, dict)])
        answers: list[dict[str, Any]] = []
        for index, item in enumerate(checked):
            if isinstance(item, dict):
                answers.append({"index": index, "evaluation": None, "error": item})
            else:
                record = submit(services, session, item, tenant, body.items[index].get("callback_url"))
                answers.append({"index": index, "evaluation": _rendered(record), "error": None})
        accepted = any(answer["error"] is None for answer in answers)
        return Answer(202 if accepted else 422, {"items": answers})

    return answer_response(answer_once(services.database, scope, act))


@router.get("/evaluations")
def list_evaluations(
    services: ServicesOf,
    tenant: Tenant,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: EvaluationState | None = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    kind: AttemptKind | None = None,
) -> EvaluationList:
    """A tenant's evaluations, newest first."""
    page = services.evaluations.page(tenant, limit=limit, cursor=cursor, state=state, tag=tag, kind=kind)
    return EvaluationList(tuple(evaluation_document(record) for record in page.items), page.next_cursor)


@router.get("/evaluations/{evaluation_id}")
async def read_evaluation(
    evaluation_id: str, services: ServicesOf, tenant: Tenant, wait: WaitSeconds = 0
) -> EvaluationDocument:
    """One evaluation; with `wait`, as soon as it has ended or that many seconds have passed."""
    record = await wait_until(
        services.database.signals,
        evaluation_topic(evaluation_id),
        partial(services.evaluations.read, evaluation_id, tenant=tenant),
        _has_ended,
        wait,
    )
    return evaluation_document(record)


@router.delete("/evaluations/{evaluation_id}")
def cancel_evaluation(evaluation_id: str, services: ServicesOf, tenant: Tenant) -> EvaluationDocument:
    """Cancel an evaluation. Answers with its terminal state, which is another when it had ended before."""
    with services.database.write() as session:
        services.evaluations.cancel(session, evaluation_id, tenant=tenant)
    return evaluation_document(services.evaluations.read(evaluation_id, tenant=tenant))


@router.get("/evaluations/{evaluation_id}/events", response_class=EventSourceResponse, responses=STREAM_ENDS)
async def follow_evaluation(
    evaluation_id: str, services: ServicesOf, tenant: Tenant, last_event_id: LastEventId
) -> Response:
    """Server-sent events: queued, running, finished. Ends after the last."""
    read = partial(services.evaluations.read, evaluation_id, tenant=tenant)
    await run_in_threadpool(read)
    return await follow(
        services.database, evaluation_topic(evaluation_id), last_event_id, lambda: _has_ended(read())
    )


@router.get("/evaluations/{evaluation_id}/logs")
def read_logs(evaluation_id: str, services: ServicesOf, tenant: Tenant) -> LogList:
    """What the candidate printed, attempt by attempt: bounded, escaped, untrusted."""
    logs = services.evaluations.logs(evaluation_id, tenant=tenant)
    return LogList(tuple(AttemptLog(attempt, seed, log) for attempt, seed, log in logs))


def _prepared_item(item: dict[str, Any], services: ServicesOf, tenant: str) -> Any:
    """A request ready to store, or the problem document of a bad item. A broken platform still raises."""
    try:
        return prepared(_BODY.validate_python(item), services, tenant)
    except ValidationError as error:
        return validation_problem([dict(e) for e in error.errors()])
    except Exception as error:
        found = problem_of(error)
        if found is None or found.document["status"] >= 500:
            raise
        return found.document


def _rendered(record: EvaluationRecord) -> dict[str, Any]:
    rendered: dict[str, Any] = _DOCUMENT.dump_python(evaluation_document(record), mode="json")
    return rendered


def _has_ended(record: EvaluationRecord) -> bool:
    return record.state.is_terminal
