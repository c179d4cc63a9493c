"""`/v1/searches/{id}:ask`, `:tell`, `:heartbeat`, `:release`: an outside agent proposes for a search."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from anyio import from_thread
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from contracts.names import SlotState
from gateway.domain.ask_tell import TellVerdict
from gateway.infra.ask_journal import ProposerNotExternal, SearchPaused, TaskClosed, TaskUnknown
from gateway.infra.idempotency import Answer
from gateway.infra.search_store import search_topic
from gateway.routes.answers import answer_response, idempotency_scope, json_response
from gateway.routes.api_document import may_answer
from gateway.routes.ask_intake import offered
from gateway.routes.dependencies import IdempotencyKey, ServicesOf, Tenant
from gateway.routes.following import WaitSeconds, wait_until
from gateway.routes.problems import RequestProblem
from gateway.schemas.ask_tell_body import AskBody, TaskBody, TellBody
from gateway.schemas.ask_tell_document import lease_document, told_document
from gateway.schemas.ask_tell_shape import AskDocument, LeaseDocument, ToldDocument
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["ask and tell"])

Json = dict[str, Any]
LOOK_AGAIN = timedelta(seconds=2)
"""A lease lapses without a signal."""
CALLER_LEFT: Json = {"tasks": [], "reason": "caller_left", "retry_after": None}
"""What nobody hears: a slot that were leased now would lie idle until its lease lapses."""


@router.post("/searches/{search_id}:ask", response_model=AskDocument, responses=may_answer(409, 502))
async def ask_for_tasks(
    search_id: str,
    body: AskBody,
    request: Request,
    services: ServicesOf,
    tenant: Tenant,
    idempotency_key: IdempotencyKey,
    wait: WaitSeconds = 0,
) -> Response:
    """Lease open slots of a search whose proposer is `external`; with `wait`, as soon as there are any.

    No tasks, and `retry_after`, while none is free; 409 `search_has_ended` when there will never be one.
    """
    asked = f"{search_id}\n{body.model_dump_json()}"
    scope = idempotency_scope(tenant, "POST /v1/searches/{id}:ask", idempotency_key, asked)

    def ask() -> Json:
        if from_thread.run(request.is_disconnected):
            return CALLER_LEFT
        with _naming_problems(search_id):
            return offered(search_id, body, services, tenant, scope)

    answer = await wait_until(
        services.database.signals,
        search_topic(search_id),
        ask,
        lambda answer: bool(answer["tasks"]) or answer is CALLER_LEFT,
        wait,
        LOOK_AGAIN,
    )
    return json_response(answer)


@router.post(
    "/searches/{search_id}:tell",
    status_code=202,
    response_model=ToldDocument,
    responses={**may_answer(409), 200: {"model": ToldDocument, "description": "The slot is final."}},
)
async def tell_answer(
    search_id: str, body: TellBody, services: ServicesOf, tenant: Tenant, wait: WaitSeconds = 0
) -> Response:
    """Answer a task with a delta or a source; once answered, it is on disk as the slot's proposal.

    202, or 200 when the slot is final already; with `wait`, as soon as it is. An answer that does not apply
    is a refused candidate, not an error. The same answer again is answered again.
    """
    location = await run_in_threadpool(_tell, search_id, body, services, tenant)
    told: Json = await wait_until(
        services.database.signals,
        search_topic(search_id),
        partial(_told, search_id, body.task_id, services, tenant),
        lambda answer: SlotState(answer["candidate"]["state"]).is_final,
        wait,
    )
    is_final = SlotState(told["candidate"]["state"]).is_final
    return answer_response(Answer(200 if is_final else 202, told, location))


@router.post("/searches/{search_id}:heartbeat", response_model=LeaseDocument, responses=may_answer(409))
def extend_lease(search_id: str, body: TaskBody, services: ServicesOf, tenant: Tenant) -> Response:
    """Go on holding a task: its lease is as long again, from now on."""
    with _naming_problems(search_id, body.task_id):
        return json_response(lease_document(services.asks.renew(search_id, tenant, body.task_id)))


@router.post("/searches/{search_id}:release", response_model=LeaseDocument, responses=may_answer(409))
def release_task(search_id: str, body: TaskBody, services: ServicesOf, tenant: Tenant) -> Response:
    """Give a task back at once. One that was told, or has lapsed, stays as it is."""
    with _naming_problems(search_id, body.task_id):
        return json_response(lease_document(services.asks.release(search_id, tenant, body.task_id)))


def _tell(search_id: str, body: TellBody, services: Services, tenant: str) -> str:
    """Record the answer; gives where its candidate is."""
    with _naming_problems(search_id, body.task_id):
        lease = services.asks.tell(search_id, tenant, body.task_id, body.answer)
    return f"/v1/searches/{lease.search_id}/candidates/{lease.proposal_id}"


def _told(search_id: str, task_id: str, services: Services, tenant: str) -> Json:
    ((lease, slot),) = services.asks.given([task_id])
    return told_document(lease, services.candidates.read(search_id, slot.proposal_id, tenant))


@contextmanager
def _naming_problems(search_id: str, task_id: str = "") -> Iterator[None]:
    try:
        yield
    except ProposerNotExternal as error:
        raise RequestProblem(
            409,
            "proposer_not_external",
            f"The search has the proposer {error.kind!r}: it asks no agents.",
            field="proposer.kind",
            value=error.kind,
            remedy="Start a search with `proposer: {kind: external}`.",
        ) from error
    except SearchPaused as error:
        raise RequestProblem(
            409,
            "search_paused",
            "The search is paused, and gives out no tasks.",
            field="state",
            value="paused",
            remedy=f"Resume it: `deltanas search resume {search_id[:60]}`.",
        ) from error
    except TaskUnknown as error:
        raise RequestProblem(
            404,
            "task_unknown",
            f"The search gave out no task {task_id[:60]!r}, or forgot it: many others followed.",
            field="task_id",
            value=task_id,
            remedy="Ask for a new one.",
        ) from error
    except TaskClosed as error:
        raise _closed(error, task_id) from error


def _closed(error: TaskClosed, task_id: str) -> RequestProblem:
    if error.verdict is TellVerdict.ALREADY_TOLD:
        detail = "This task was told before, and that answer stays."
        remedy = "Ask for a new task."
    else:
        detail = "The lease of this task lapsed, and its slot is taken or closed."
        remedy = "Ask for a new task; a heartbeat now and then keeps one."
    return RequestProblem(409, error.verdict.value, detail, field="task_id", value=task_id, remedy=remedy)
