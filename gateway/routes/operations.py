"""Operations: health, readiness, and what the hosts can do."""

import shutil
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Response

from contracts.jobs import RunnerCapabilities
from gateway.infra.agent_directory import live_agents
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.services import Services

MIB = 1024 * 1024
LEAST_FREE_MIB = 64

router = APIRouter(tags=["operations"])


@router.get("/healthz")
def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readiness(services: ServicesOf, response: Response) -> dict[str, Any]:
    """200 when evaluations can run now; 503 with the reasons when they would wait."""
    reasons = [
        *_storage_problems(services),
        *_agent_problems(services),
        *services.generator.readiness_problems(),
        *services.filter.readiness_problems(),
        *services.runner.readiness_problems(),
    ]
    if not reasons:
        return {"status": "ready"}
    response.status_code = 503
    response.headers["retry-after"] = "2"
    return {"status": "not_ready", "reasons": reasons}


@router.get("/v1/capabilities")
def capabilities(services: ServicesOf, tenant: Tenant) -> dict[str, Any]:
    """What live agents offer, host by host and together; other tenants' data sets are left out."""
    hidden = services.datasets.owners.hidden_from(tenant)
    with services.database.read() as session:
        agents = {name: _without(offered, hidden) for name, offered in live_agents(session).items()}
    tiers = [agent.tier for agent in agents.values() if agent.tier is not None]
    return {
        "agents": [{"id": agent_id, "capabilities": offered} for agent_id, offered in agents.items()],
        "tier": max(tiers, key=lambda tier: tier.strength, default=None),
        "slots": sum(agent.slots for agent in agents.values() if agent.tier is not None),
        "devices": sorted({device for agent in agents.values() for device in agent.devices}),
        "datasets": sorted({d.name for agent in agents.values() for d in agent.datasets if d.ready}),
    }


def _without(offered: RunnerCapabilities, hidden: set[str]) -> RunnerCapabilities:
    return replace(offered, datasets=tuple(d for d in offered.datasets if d.name not in hidden))


def _storage_problems(services: Services) -> list[str]:
    """A disk that is about to be full: what is accepted must be on it."""
    home = services.settings.home
    free = shutil.disk_usage(home).free // MIB
    if free >= LEAST_FREE_MIB:
        return []
    return [f"the disk of {home} has {free} MiB free; the gateway wants {LEAST_FREE_MIB}"]


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
