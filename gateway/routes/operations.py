"""Operations: health, readiness, metrics, and what the hosts can do."""

import hmac
import shutil
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from contracts.jobs import RunnerCapabilities
from contracts.service_gate import bearer_token, token_digest
from gateway.infra.agent_directory import live_agents
from gateway.infra.database import utc_now
from gateway.infra.dataset_owners import HiddenNames
from gateway.infra.marks import Mark, move_mark
from gateway.infra.metrics import CONTENT_TYPE, GatewayMetrics
from gateway.infra.readiness import Probe, Readiness
from gateway.routes.dependencies import ServicesOf, Tenant, operator_of
from gateway.schemas.operations_document import (
    AgentDocument,
    CapabilitiesDocument,
    CheckDocument,
    HealthDocument,
    ReadinessDocument,
)
from gateway.services import Services

MIB = 1024 * 1024
LEAST_FREE_MIB = 64

router = APIRouter(tags=["operations"])


@router.get("/healthz")
def health() -> HealthDocument:
    """The process answers; nothing else is looked at."""
    return HealthDocument()


@router.get(
    "/readyz", responses={503: {"model": ReadinessDocument, "description": "Evaluations would wait."}}
)
def readiness(request: Request, response: Response) -> ReadinessDocument:
    """200 when evaluations can run now; 503 with the reasons when they would wait."""
    asked: Readiness = request.app.state.readiness
    checks = asked.checks()
    reasons = [reason for check in checks for reason in check.problems]
    if reasons:
        response.status_code = 503
        response.headers["retry-after"] = "2"
    return ReadinessDocument(
        "not_ready" if reasons else "ready",
        tuple(reasons),
        {check.name: CheckDocument(not check.problems, round(check.seconds, 3)) for check in checks},
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, services: ServicesOf) -> Response:
    """What this gateway and its farm measure, in the text format of Prometheus.

    For the operator, and for whoever has the token of DELTANAS_METRICS_TOKEN_SHA256.
    """
    if not _bears_metrics_token(request, services):
        operator_of(request)
    measured: GatewayMetrics = request.app.state.metrics
    return Response(measured.page(), media_type=CONTENT_TYPE)


@router.get("/v1/capabilities")
def capabilities(services: ServicesOf, tenant: Tenant) -> CapabilitiesDocument:
    """What live agents offer, host by host and together; other tenants' data sets are left out."""
    hidden = services.datasets.owners.hidden_from(tenant)
    with services.database.read() as session:
        agents = {name: _without(offered, hidden) for name, offered in live_agents(session).items()}
    tiers = [agent.tier for agent in agents.values() if agent.tier is not None]
    return CapabilitiesDocument(
        agents=tuple(AgentDocument(agent_id, offered) for agent_id, offered in agents.items()),
        tier=max(tiers, key=lambda tier: tier.strength, default=None),
        slots=sum(agent.slots for agent in agents.values() if agent.tier is not None),
        devices=tuple(sorted({device for agent in agents.values() for device in agent.devices})),
        datasets=tuple(sorted({d.name for agent in agents.values() for d in agent.datasets if d.ready})),
    )


def _without(offered: RunnerCapabilities, hidden: HiddenNames) -> RunnerCapabilities:
    return replace(offered, datasets=tuple(d for d in offered.datasets if d.name not in hidden))


def probes(services: Services) -> dict[str, Probe]:
    """All that an evaluation or a search needs, by the name under which /readyz tells of it."""
    return {
        "disk": lambda: _disk_problems(services),
        "database": lambda: _database_problems(services),
        "agents": lambda: _agent_problems(services),
        "generator": services.generator.readiness_problems,
        "filter": services.filter.readiness_problems,
        "runner": services.runner.readiness_problems,
        **({} if services.dispatch is None else {"broker": services.dispatch.problems}),
    }


def _bears_metrics_token(request: Request, services: Services) -> bool:
    expected, shown = services.settings.metrics_token_sha256, bearer_token(request.scope)
    return bool(expected and shown and hmac.compare_digest(token_digest(shown), expected))


def _disk_problems(services: Services) -> list[str]:
    """A disk that is about to be full: what is accepted must be on it."""
    home = services.settings.home
    free = shutil.disk_usage(home).free // MIB
    if free >= LEAST_FREE_MIB:
        return []
    return [f"the disk of {home} has {free} MiB free; the gateway wants {LEAST_FREE_MIB}"]


def _database_problems(services: Services) -> list[str]:
    """Whether something can be written and is on disk. Raises StorageUnavailable."""
    with services.database.write() as session:
        move_mark(session, "readiness", Mark(utc_now()))
    return []


def _agent_problems(services: Services) -> list[str]:
    with services.database.read() as session:
        agents = live_agents(session)
    if not agents:
        return ["no agent has sent a heartbeat lately; start one with `deltanas agent` or `deltanas up`"]
    if any(agent.tier is not None for agent in agents.values()):
        return []
    return [
        f"agent {agent_id}: sandbox backend {backend.name} is unavailable: {'; '.join(backend.problems)}"
        for agent_id, agent in agents.items()
        for backend in agent.backends
        if not backend.available
    ] or ["no agent has a sandbox backend"]
