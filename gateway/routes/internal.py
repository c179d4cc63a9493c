"""`/internal/v1`: how agents find, claim, keep and report attempts. Behind the service token."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.jobs import AgentHeartbeat, AttemptOutcome, ClaimedAttempt
from gateway.infra.agent_directory import SLOTS_TOPIC, record_heartbeat
from gateway.infra.attempt_queue import AttemptNotClaimable, LeaseLost
from gateway.infra.evaluation_transitions import QUEUE_TOPIC
from gateway.infra.publications import claim_refusal
from gateway.routes.dependencies import ServicesOf
from gateway.routes.following import wait_until
from gateway.routes.problems import RequestProblem

router = APIRouter(prefix="/internal/v1", tags=["agents"], include_in_schema=False)

AgentId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
AttemptToken = Annotated[str, Header(alias="X-Attempt-Token", min_length=1, max_length=200)]


class ClaimBody(BaseModel):
    """Who claims."""

    model_config = ConfigDict(extra="forbid")

    agent_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    key: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]{32,80})?$")] = ""
    """The claim's own secret: with it the claim may be repeated, should its answer be lost."""


class PhaseBody(BaseModel):
    """What the attempt is doing."""

    model_config = ConfigDict(extra="forbid")

    phase: Annotated[str, Field(max_length=40)]


@router.post("/agents/{agent_id}:heartbeat", status_code=204)
def agent_heartbeat(agent_id: AgentId, body: AgentHeartbeat, services: ServicesOf) -> None:
    """An agent says what its host can do."""
    with services.database.write() as session:
        record_heartbeat(session, agent_id, body)
    services.database.signals.announce((SLOTS_TOPIC,))


@router.get("/agents/{agent_id}/next", response_model=None)
async def next_attempt(
    agent_id: AgentId, services: ServicesOf, wait: Annotated[float, Query(ge=0, le=25)] = 0
) -> Response | dict[str, str]:
    """An attempt for this agent to claim; 204 when none came up in `wait` seconds."""
    attempt_id = await wait_until(
        services.database.signals,
        QUEUE_TOPIC,
        lambda: services.offers.next_for(agent_id),
        lambda offered: offered is not None,
        wait,
        look_again=timedelta(seconds=1),
    )
    return Response(status_code=204) if attempt_id is None else {"attempt_id": attempt_id}


@router.post("/attempts/{attempt_id}:claim")
def claim_attempt(attempt_id: str, body: ClaimBody, services: ServicesOf) -> ClaimedAttempt:
    """Take the attempt under a lease."""
    with services.database.read() as session:
        refusal = claim_refusal(session, attempt_id, body.agent_id)
    if refusal is not None and not services.queue.has_claimed(attempt_id, body.agent_id, body.key):
        raise RequestProblem(409, "attempt_not_claimable", refusal)
    try:
        return services.queue.claim(attempt_id, body.agent_id, body.key)
    except AttemptNotClaimable as error:
        raise RequestProblem(
            409, "attempt_not_claimable", "The attempt is taken, ended or unknown."
        ) from error


@router.post("/attempts/{attempt_id}:heartbeat")
def attempt_heartbeat(
    attempt_id: str, body: PhaseBody, token: AttemptToken, services: ServicesOf
) -> dict[str, bool]:
    """Keep the lease; hear of a cancellation."""
    try:
        return {"cancel": services.queue.heartbeat(attempt_id, token, body.phase)}
    except LeaseLost as error:
        raise _lease_lost() from error


@router.post("/attempts/{attempt_id}:report", status_code=204)
def report_attempt(attempt_id: str, body: AttemptOutcome, token: AttemptToken, services: ServicesOf) -> None:
    """Hand in the outcome."""
    try:
        services.queue.report(attempt_id, token, body)
    except LeaseLost as error:
        raise _lease_lost() from error
    services.database.signals.announce((SLOTS_TOPIC,))


@router.post("/attempts/{attempt_id}:release", status_code=204)
def release_attempt(attempt_id: str, token: AttemptToken, services: ServicesOf) -> None:
    """Give the attempt back unfinished; it is queued again and does not count as lost."""
    try:
        services.queue.release(attempt_id, token)
    except LeaseLost as error:
        raise _lease_lost() from error


def _lease_lost() -> RequestProblem:
    return RequestProblem(409, "lease_lost", "The lease is over; drop the attempt.")
