"""Which agents are alive and what their hosts offer, from their heartbeats."""

from datetime import timedelta

from pydantic import TypeAdapter
from sqlalchemy import Select, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from contracts.dispatch import Resource
from contracts.jobs import AgentHeartbeat, DatasetReport, RunnerCapabilities
from gateway.infra.database import now_in
from gateway.infra.evaluation_rows import document_of
from gateway.infra.tables import AgentRow

ALIVE_FOR = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(days=7)
SLOTS_TOPIC = "slots"
"""Signalled when a slot may have become free."""

_CAPABILITIES = TypeAdapter(RunnerCapabilities)


def record_heartbeat(session: Session, agent_id: str, heartbeat: AgentHeartbeat) -> None:
    """Keep an agent's word; forget agents long gone."""
    now = now_in(session)
    if session.scalar(select(AgentRow.id).where(AgentRow.id == agent_id)) is None:
        session.execute(delete(AgentRow).where(AgentRow.seen_at < now - FORGOTTEN_AFTER))
    said = {
        "capabilities": document_of(heartbeat.capabilities) or {},
        "queue": heartbeat.queue,
        "seen_at": now,
    }
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    # In one statement, because an agent's first heartbeat may arrive twice at once.
    session.execute(
        insert(AgentRow).values(id=agent_id, **said).on_conflict_do_update(index_elements=["id"], set_=said)
    )


def live_agents(session: Session) -> dict[str, RunnerCapabilities]:
    """Agents heard of lately, by id."""
    return {
        row.id: _CAPABILITIES.validate_python(row.capabilities) for row in session.scalars(_alive(session))
    }


def agents_at_the_broker(session: Session) -> dict[str, tuple[Resource, RunnerCapabilities]]:
    """Those of the live agents that hear of attempts from the broker, by id: what they lend and can do."""
    rows = session.scalars(
        _alive(session).where(AgentRow.queue.in_([resource.value for resource in Resource]))
    )
    return {row.id: (Resource(row.queue), _CAPABILITIES.validate_python(row.capabilities)) for row in rows}


def listener(session: Session, agent_id: str) -> tuple[Resource, RunnerCapabilities] | None:
    """What an agent at the broker lends and can do; None of one that asks here, or was never heard of."""
    row = session.get(AgentRow, agent_id)
    if row is None or not row.queue:
        return None
    return Resource(row.queue), _CAPABILITIES.validate_python(row.capabilities)


def capabilities_of(session: Session, agent_id: str | None) -> RunnerCapabilities | None:
    """What an agent can do, however long it has been silent; None of one that is not known any more."""
    row = session.get(AgentRow, agent_id or "")
    return None if row is None else _CAPABILITIES.validate_python(row.capabilities)


def known_datasets(session: Session) -> dict[str, DatasetReport]:
    """What live agents hold, by name; a ready report wins over one that is not."""
    known: dict[str, DatasetReport] = {}
    for capabilities in live_agents(session).values():
        for report in capabilities.datasets:
            if report.name not in known or (report.ready and not known[report.name].ready):
                known[report.name] = report
    return known


def _alive(session: Session) -> Select[AgentRow]:
    now = now_in(session)
    # Heard of later than now is who was heard of before the clock was set back; who lives will say so again.
    lately = AgentRow.seen_at.between(now - ALIVE_FOR, now + ALIVE_FOR)
    return select(AgentRow).where(lately).order_by(AgentRow.id)
