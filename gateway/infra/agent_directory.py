"""Which agents are alive and what their hosts offer, from their heartbeats."""

from datetime import timedelta

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from contracts.jobs import AgentHeartbeat, DatasetReport, RunnerCapabilities
from gateway.infra.database import utc_now
from gateway.infra.evaluation_rows import document_of
from gateway.infra.tables import AgentRow

ALIVE_FOR = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(days=7)

_CAPABILITIES = TypeAdapter(RunnerCapabilities)


def record_heartbeat(session: Session, agent_id: str, heartbeat: AgentHeartbeat) -> None:
    """Keep an agent's word; forget agents long gone."""
    now = utc_now()
    row = session.get(AgentRow, agent_id)
    if row is None:
        session.execute(delete(AgentRow).where(AgentRow.seen_at < now - FORGOTTEN_AFTER))
        row = AgentRow(id=agent_id)
        session.add(row)
    row.capabilities = document_of(heartbeat.capabilities) or {}
    row.busy_slots = heartbeat.busy_slots
    row.seen_at = now


def live_agents(session: Session) -> dict[str, RunnerCapabilities]:
    """Agents heard of lately, by id."""
    rows = session.scalars(
        select(AgentRow).where(AgentRow.seen_at >= utc_now() - ALIVE_FOR).order_by(AgentRow.id)
    )
    return {row.id: _CAPABILITIES.validate_python(row.capabilities) for row in rows}


def known_datasets(session: Session) -> dict[str, DatasetReport]:
    """What live agents hold, by name; a ready report wins over one that is not."""
    known: dict[str, DatasetReport] = {}
    for capabilities in live_agents(session).values():
        for report in capabilities.datasets:
            if report.name not in known or (report.ready and not known[report.name].ready):
                known[report.name] = report
    return known
