"""`/v1/fine-tunes`: a language model learns from deltas that led to better networks, as a job."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from gateway.domain.fine_tuning import FineTuneRecord, digest_of_pairs
from gateway.infra.fine_tunes import FineTuneUnknown, fine_tune_topic
from gateway.infra.idempotency import Answer, answer_once, recall
from gateway.infra.webhook_outbox import expect_callback
from gateway.routes.answers import answer_response, idempotency_scope, json_response
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import IdempotencyKey, ServicesOf, Tenant
from gateway.routes.fine_tune_intake import prepared, require_room
from gateway.routes.fine_tune_pairs import given_pairs
from gateway.routes.following import STREAM_ENDS, LastEventId, WaitSeconds, follow, wait_until
from gateway.routes.problems import RequestProblem
from gateway.routes.webhook_intake import require_receiver
from gateway.schemas.fine_tune_body import FineTuneBody
from gateway.schemas.fine_tune_document import fine_tune_document
from gateway.schemas.fine_tune_shape import FineTuneDocument, FineTuneList
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["fine-tunes"])

Cursor = Annotated[str | None, Query(pattern=r"^ft_[0-9a-f]{1,40}$")]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post("/fine-tunes", status_code=202, response_model=FineTuneDocument, responses=may_answer(404, 502))
def start_fine_tune(
    body: FineTuneBody, services: ServicesOf, tenant: Tenant, idempotency_key: IdempotencyKey
) -> Response:
    """Fine-tune a local model with LoRA on a search's elites, on training pairs, on `pairs` of one's own.

    What it learns is the canonical delta between two sources, never what a model or a caller wrote.
    """
    scope = idempotency_scope(tenant, "POST /v1/fine-tunes", idempotency_key, body.model_dump_json())
    earlier = recall(services.database, scope)
    if earlier is not None:
        return answer_response(earlier)
    require_receiver(services, tenant, "callback_url", body.callback_url)
    request = prepared(body, services, tenant)
    pairs = given_pairs(body.pairs, services)
    request = replace(request, given=digest_of_pairs(pairs))

    def act(session: Any) -> Answer:
        require_room(services, session, tenant, pairs)
        record = services.fine_tunes.create(session, tenant, request, pairs)
        if body.callback_url is not None:
            expect_callback(session, tenant, record.id, body.callback_url)
        return Answer(202, fine_tune_document(record), f"/v1/fine-tunes/{record.id}")

    return answer_response(answer_once(services.database, scope, act))


@router.get("/fine-tunes", response_model=FineTuneList)
def list_fine_tunes(
    services: ServicesOf, tenant: Tenant, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """A tenant's jobs, newest first."""
    records, next_cursor = services.fine_tunes.page(tenant, limit, cursor)
    items = [fine_tune_document(record) for record in records]
    return json_response({"items": items, "next_cursor": next_cursor})


@router.get("/fine-tunes/{job_id}", response_model=FineTuneDocument)
async def read_fine_tune(
    job_id: str, services: ServicesOf, tenant: Tenant, wait: WaitSeconds = 0
) -> Response:
    """One job; with `wait`, as soon as it has ended or that many seconds have passed."""
    record = await wait_until(
        services.database.signals,
        fine_tune_topic(job_id),
        partial(_read, services, job_id, tenant),
        lambda found: found.state.is_terminal,
        wait,
    )
    return json_response(fine_tune_document(record))


@router.get("/fine-tunes/{job_id}/events", response_class=EventSourceResponse, responses=STREAM_ENDS)
async def follow_fine_tune(
    job_id: str, services: ServicesOf, tenant: Tenant, last_event_id: LastEventId
) -> Response:
    """Server-sent events: state, chats, step, validated, checkpoint, …, finished. Ends after the last."""
    read = partial(_read, services, job_id, tenant)
    await run_in_threadpool(read)
    return await follow(
        services.database, fine_tune_topic(job_id), last_event_id, lambda: read().state.is_terminal
    )


@router.delete("/fine-tunes/{job_id}", response_model=FineTuneDocument)
def cancel_fine_tune(job_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Cancel a job. Answers with its terminal state, which is another when it had ended before."""
    _read(services, job_id, tenant)
    services.fine_tunes.cancel(job_id, tenant)
    return json_response(fine_tune_document(_read(services, job_id, tenant)))


def _read(services: Services, job_id: str, tenant: str) -> FineTuneRecord:
    try:
        return services.fine_tunes.read(job_id, tenant)
    except FineTuneUnknown as error:
        raise RequestProblem(404, "fine_tune_unknown", f"There is no fine-tune {job_id[:60]!r}.") from error
