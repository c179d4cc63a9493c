"""Which attempt an agent should claim next: fair between tenants, suited to its host.

An offer binds nobody and lives in memory: losing one costs a few seconds of waiting, never an attempt.
"""

import threading
import time

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from contracts.jobs import RunnerCapabilities
from contracts.names import AttemptState
from gateway.infra.agent_directory import live_agents
from gateway.infra.database import Database, utc_now
from gateway.infra.tables import AttemptRow, EvaluationRow

OFFER_SECONDS = 3.0
"""How long an attempt offered to one agent is kept from the others."""


class AttemptOffers:
    """Offers about as many attempts as there are free slots. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._offered_until: dict[str, float] = {}
        self._served_at: dict[str, float] = {}

    def next_for(self, agent_id: str) -> str | None:
        """An attempt that this agent can run now and nobody else was just offered, or None.

        The tenant with the fewest attempts running comes first, then the one served longest ago; within
        a tenant priority, then age. An agent whose slots are all leased gets nothing.
        """
        with self._lock, self._database.read() as session:
            capabilities = live_agents(session).get(agent_id)
            if capabilities is None or _free_slots(session, agent_id, capabilities) <= 0:
                return None
            suitable = _suitable(capabilities, self._standing_offers())
            waiting = session.scalars(
                select(EvaluationRow.tenant).join(EvaluationRow.attempts).where(suitable).distinct()
            )
            running = _running_by_tenant(session)
            order = sorted(waiting, key=lambda t: (running.get(t, 0), self._served_at.get(t, 0.0), t))
            if not order:
                return None
            attempt_id = session.scalar(
                select(AttemptRow.id)
                .join(AttemptRow.evaluation)
                .where(suitable, EvaluationRow.tenant == order[0])
                .order_by(EvaluationRow.priority.desc(), AttemptRow.id)
                .limit(1)
            )
            if attempt_id is not None:
                self._offered_until[attempt_id] = time.monotonic() + OFFER_SECONDS
                self._served_at[order[0]] = time.monotonic()
            return attempt_id

    def _standing_offers(self) -> tuple[str, ...]:
        now = time.monotonic()
        self._offered_until = {a: until for a, until in self._offered_until.items() if until > now}
        return tuple(self._offered_until)


def _free_slots(session: Session, agent_id: str, capabilities: RunnerCapabilities) -> int:
    leased = session.scalar(
        select(func.count())
        .select_from(AttemptRow)
        .where(AttemptRow.agent_id == agent_id, AttemptRow.state == AttemptState.LEASED)
    )
    return capabilities.slots - (leased or 0)


def _suitable(capabilities: RunnerCapabilities, offered: tuple[str, ...]) -> ColumnElement[bool]:
    """Queued attempts that this host can run. Without a tier that passed its probe: none."""
    strength = -1 if capabilities.tier is None else capabilities.tier.strength
    return and_(
        AttemptRow.state == AttemptState.QUEUED,
        AttemptRow.available_at <= utc_now(),
        AttemptRow.id.not_in(offered),
        EvaluationRow.device.in_(capabilities.devices),
        EvaluationRow.tier_strength <= strength,
        EvaluationRow.dataset.in_([d.name for d in capabilities.datasets if d.ready]),
    )


def _running_by_tenant(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(EvaluationRow.tenant, func.count().label("running"))
        .join(EvaluationRow.attempts)
        .where(AttemptRow.state == AttemptState.LEASED)
        .group_by(EvaluationRow.tenant)
    )
    return {row.tenant: row.running for row in rows}
