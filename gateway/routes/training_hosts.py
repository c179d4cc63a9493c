"""`/internal/v1`: how agents whose hosts train find, claim, keep and report attempts at fine-tunes.

Behind the service token. Chats go out and the adapter comes in as streams; nothing of them is kept here.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from contracts.fine_tune_attempts import (
    ClaimedFineTune,
    FineTuneOutcome,
    Forgettable,
    LeaseKept,
    TrainingHost,
    TrainingNews,
)
from gateway.infra.agent_directory import SLOTS_TOPIC
from gateway.infra.attempt_queue import AttemptNotClaimable, LeaseLost
from gateway.infra.evaluation_transitions import QUEUE_TOPIC
from gateway.infra.fine_tune_attempts import AdapterNotDelivered, HeldJob
from gateway.infra.fine_tune_client import Download
from gateway.routes.dependencies import ServicesOf
from gateway.routes.following import wait_until
from gateway.routes.internal import AgentId, AttemptToken, ClaimBody
from gateway.routes.passing import Passing
from gateway.routes.problems import RequestProblem
from gateway.services import Services

router = APIRouter(prefix="/internal/v1", tags=["agents"], include_in_schema=False)


@router.post("/training-agents/{agent_id}:heartbeat")
def training_agent_heartbeat(agent_id: AgentId, body: TrainingHost, services: ServicesOf) -> Forgettable:
    """An agent says what its host can train, and hears which jobs it need not keep."""
    forgettable = services.training_hosts.heard(agent_id, body)
    services.database.signals.announce((SLOTS_TOPIC,))
    return Forgettable(forgettable)


@router.get("/training-agents/{agent_id}/next", response_model=None)
async def next_fine_tune_attempt(
    agent_id: AgentId, services: ServicesOf, wait: Annotated[float, Query(ge=0, le=25)] = 0
) -> Response | dict[str, str]:
    """An attempt for this agent to claim; 204 when none came up in `wait` seconds."""
    attempt_id = await wait_until(
        services.database.signals,
        QUEUE_TOPIC,
        lambda: services.training_hosts.next_for(agent_id),
        lambda offered: offered is not None,
        wait,
        look_again=timedelta(seconds=1),
    )
    return Response(status_code=204) if attempt_id is None else {"attempt_id": attempt_id}


@router.post("/fine-tune-attempts/{attempt_id}:claim")
def claim_fine_tune_attempt(attempt_id: str, body: ClaimBody, services: ServicesOf) -> ClaimedFineTune:
    """Take the attempt under a lease."""
    refusal = services.training_hosts.claim_refusal(attempt_id, body.agent_id)
    claimed_before = services.fine_tune_attempts.has_claimed
    if refusal is not None and not claimed_before(attempt_id, body.agent_id, body.key):
        raise RequestProblem(409, "attempt_not_claimable", refusal)
    try:
        return services.fine_tune_attempts.claim(attempt_id, body.agent_id, body.key)
    except AttemptNotClaimable as error:
        raise RequestProblem(
            409, "attempt_not_claimable", "The attempt is taken, ended or unknown."
        ) from error


@router.post("/fine-tune-attempts/{attempt_id}:heartbeat")
def fine_tune_attempt_heartbeat(
    attempt_id: str, body: TrainingNews, token: AttemptToken, services: ServicesOf
) -> LeaseKept:
    """Keep the lease, and tell how the job stands; hear of a cancellation."""
    try:
        return LeaseKept(*services.fine_tune_attempts.heartbeat(attempt_id, token, body))
    except LeaseLost as error:
        raise _lease_lost() from error


@router.post("/fine-tune-attempts/{attempt_id}:report", status_code=204)
def report_fine_tune_attempt(
    attempt_id: str, body: FineTuneOutcome, token: AttemptToken, services: ServicesOf
) -> None:
    """Hand in how the attempt ended."""
    try:
        services.fine_tune_attempts.report(attempt_id, token, body)
    except LeaseLost as error:
        raise _lease_lost() from error
    except AdapterNotDelivered as error:
        raise RequestProblem(409, "adapter_not_delivered", "Its adapter has not come.") from error
    services.database.signals.announce((SLOTS_TOPIC,))


@router.post("/fine-tune-attempts/{attempt_id}:release", status_code=204)
def release_fine_tune_attempt(attempt_id: str, token: AttemptToken, services: ServicesOf) -> None:
    """Give the attempt back unfinished; its job is offered again, and it does not count as lost."""
    try:
        services.fine_tune_attempts.release(attempt_id, token)
    except LeaseLost as error:
        raise _lease_lost() from error


@router.get("/fine-tune-attempts/{attempt_id}/chats")
def read_chats(attempt_id: str, token: AttemptToken, services: ServicesOf) -> StreamingResponse:
    """The job as a generator takes it in: settings on a line, then a chat a line."""
    return _streamed(services.fine_tuning.chats(_held(services, attempt_id, token).job_id))


@router.get("/fine-tune-attempts/{attempt_id}/parent")
def read_parent(attempt_id: str, token: AttemptToken, services: ServicesOf) -> StreamingResponse:
    """The adapter that the job goes on from, as a generator takes it in; 404 where it goes on from none."""
    parent = _held(services, attempt_id, token).parent_adapter
    if parent is None:
        raise RequestProblem(404, "not_found", "The job goes on from no adapter.")
    return _streamed(services.fine_tuning.parcel(parent))


@router.put("/fine-tune-attempts/{attempt_id}/adapter", status_code=204)
async def deliver_adapter(
    attempt_id: str, request: Request, token: AttemptToken, services: ServicesOf
) -> None:
    """Bring the adapter that the attempt came to; the generator takes it in whole or not at all.

    403 `storage_full` where its tenant may not store it.
    """
    held = await run_in_threadpool(_held, services, attempt_id, token)
    adapter = Passing(request.stream(), await run_in_threadpool(_room, services, held.tenant))
    await services.fine_tuning.deliver(held.job_id, held.fence, adapter)
    try:
        await run_in_threadpool(services.fine_tune_attempts.delivered, attempt_id, token, adapter.size_bytes)
    except LeaseLost as error:
        raise _lease_lost() from error


def _room(services: Services, tenant: str) -> int | None:
    with services.database.write() as session:
        return services.quotas.require_storage(session, tenant, 1)


def _held(services: Services, attempt_id: str, token: str) -> HeldJob:
    try:
        return services.fine_tune_attempts.held(attempt_id, token)
    except LeaseLost as error:
        raise _lease_lost() from error


def _streamed(download: Download) -> StreamingResponse:
    headers = {} if download.length is None else {"content-length": str(download.length)}
    return StreamingResponse(
        _chunks(download),
        media_type="application/octet-stream",
        headers=headers,
        background=BackgroundTask(download.close),
    )


def _chunks(download: Download) -> Iterator[bytes]:
    try:
        yield from download
    finally:
        download.close()


def _lease_lost() -> RequestProblem:
    return RequestProblem(409, "lease_lost", "The lease is over; drop the attempt.")
