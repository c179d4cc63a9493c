"""Which attempts are given out next: fair between tenants, suited to the host that asks.

An offer binds nobody: the claim alone does (`attempt_queue`). It is on disk, so that no two gateways offer
one attempt at a time, and it lapses: losing one costs some seconds of waiting, never an attempt.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, false, func, or_, select, text
from sqlalchemy.orm import Session

from contracts.jobs import RunnerCapabilities
from contracts.names import AttemptState
from gateway.domain.fair_shares import Contender, grant_slots
from gateway.domain.placement import gpu_memory_of, most_threads
from gateway.domain.quotas import Quota
from gateway.infra.agent_directory import live_agents
from gateway.infra.database import Database, now_in
from gateway.infra.quotas import QuotaStore
from gateway.infra.slot_ledger import GPU_POOL, LONGEST_HOLD, SlotLedger, lock_slots, offer_stands, pool_of
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import AttemptOfferRow

OFFER_SECONDS = 3.0
"""How long an attempt offered to a polling agent is kept from the others."""


class AttemptOffers:
    """Offers about as many attempts as there are free slots. Thread-safe, and safe beside other gateways."""

    def __init__(self, database: Database, quotas: QuotaStore) -> None:
        self._database = database
        self._quotas = quotas
        self._lock = threading.Lock()
        self._last_pool = ""

    def next_for(self, agent_id: str) -> str | None:
        """An attempt that this agent can run now and nobody else was just offered, or None.

        An agent whose slots are all leased gets nothing.
        """
        with self._database.read() as session:
            capabilities = live_agents(session).get(agent_id)
            if capabilities is None or _free_slots(session, agent_id, capabilities) <= 0:
                return None
        given = self.next_batch(capabilities, 1, OFFER_SECONDS)
        return given[0] if given else None

    def next_batch(self, capabilities: RunnerCapabilities, count: int, hold_seconds: float) -> list[str]:
        """Up to `count` attempts for such hosts, in fair order, each kept from others for so long.

        The tenant that has used least for its weight comes first (`gateway.domain.fair_shares`); within a
        tenant priority, then age.
        """
        if count <= 0:
            return []
        with self._database.read() as session:
            now = now_in(session)
            if not any(_waiting(session, now, capabilities, tenant, 1) for tenant in _open_tenants(session)):
                return []
        # One thread of this process at a time: the others would only wait for the database's lock.
        with self._lock, self._database.write() as session:
            lock_slots(session)
            hold = min(timedelta(seconds=hold_seconds), LONGEST_HOLD)
            return self._give(session, capabilities, count, hold)

    def settle(self) -> None:
        """Book what has ended, also while nobody asks for work."""
        with self._database.write() as session:
            lock_slots(session)
            weights = {name: quota.weight for name, quota in self._quotas.named_in(session).items()}
            SlotLedger(session, now_in(session)).settle(weights)

    def _give(
        self, session: Session, capabilities: RunnerCapabilities, count: int, hold: timedelta
    ) -> list[str]:
        now = now_in(session)
        named = self._quotas.named_in(session)
        ledger = SlotLedger(session, now)
        ledger.settle({name: quota.weight for name, quota in named.items()})
        session.flush()
        given: list[str] = []
        for pool, devices in self._pools(capabilities.devices):
            heads = {
                tenant: waiting
                for tenant in _open_tenants(session)
                if (waiting := _waiting(session, now, capabilities, tenant, count, devices))
            }
            quotas = {tenant: named.get(tenant, self._quotas.default) for tenant in heads}
            contenders = [
                _contender(ledger, tenant, pool, len(waiting), quotas[tenant])
                for tenant, waiting in heads.items()
            ]
            for grant in grant_slots(contenders, ledger.present(pool), count - len(given)):
                attempt_id = heads[grant.tenant].pop(0)
                ledger.charge(grant, pool, attempt_id, quotas[grant.tenant].weight, now + hold)
                given.append(attempt_id)
                self._last_pool = pool
        return given

    def _pools(self, devices: Sequence[str]) -> list[tuple[str, list[str]]]:
        """A host's devices by pool. A host with both serves them in turn, so that neither starves there."""
        pools = {pool_of(device) for device in devices}
        order = sorted(pools, key=lambda pool: (pool == self._last_pool, pool != GPU_POOL))
        return [(pool, [device for device in devices if pool_of(device) == pool]) for pool in order]


def _contender(ledger: SlotLedger, tenant: str, pool: str, waiting: int, quota: Quota) -> Contender:
    standing = ledger.standing(tenant, pool)
    room = None if quota.running is None else max(0, quota.running - ledger.given(tenant))
    budget = quota.gpu_seconds_per_day
    if pool == GPU_POOL and budget is not None and ledger.gpu_seconds(tenant) >= budget:
        room = 0
    return Contender(
        tenant=tenant,
        weight=quota.weight,
        virtual_seconds=standing.virtual_seconds,
        overrun_seconds=standing.overrun_seconds,
        usual_seconds=standing.usual_seconds,
        waiting=waiting,
        room=room,
    )


def _free_slots(session: Session, agent_id: str, capabilities: RunnerCapabilities) -> int:
    leased = session.scalar(
        select(func.count())
        .select_from(AttemptRow)
        .where(AttemptRow.agent_id == agent_id, AttemptRow.state == AttemptState.LEASED)
    )
    return capabilities.slots - (leased or 0)


# Word for word the index's condition; the table's name stands in front, since attempts have a state, too.
_IS_OPEN_EVALUATION = text("evaluations.state IN ('queued', 'running')")


_NEXT_TENANT = {
    # Without statistics SQLite would take the index of states here, and read every row for its tenant.
    "sqlite": text(
        "SELECT min(tenant) FROM evaluations INDEXED BY ix_evaluations_open "
        "WHERE state IN ('queued', 'running') AND tenant > :tenant"
    ),
    "postgresql": text(
        "SELECT min(tenant) FROM evaluations WHERE state IN ('queued', 'running') AND tenant > :tenant"
    ),
}


def _open_tenants(session: Session) -> list[str]:
    """Who has evaluations that have not ended: one look into the index for each, however many there are."""
    following = _NEXT_TENANT[session.get_bind().dialect.name]
    found: list[str] = []
    while (tenant := session.scalar(following, {"tenant": found[-1] if found else ""})) is not None:
        found.append(tenant)
    return found


def _waiting(
    session: Session,
    now: datetime,
    capabilities: RunnerCapabilities,
    tenant: str,
    at_most: int,
    devices: Sequence[str] | None = None,
) -> list[str]:
    """A tenant's first attempts that such a host can run. Without a tier that passed its probe: none."""
    strength = -1 if capabilities.tier is None else capabilities.tier.strength
    query = (
        select(AttemptRow.id)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .where(
            _IS_OPEN_EVALUATION,
            EvaluationRow.tenant == tenant,
            _fits_on_one_of(capabilities, capabilities.devices if devices is None else devices),
            EvaluationRow.tier_strength <= strength,
            EvaluationRow.threads <= most_threads(capabilities),
            EvaluationRow.dataset.in_([report.name for report in capabilities.datasets if report.ready]),
            AttemptRow.state == AttemptState.QUEUED,
            AttemptRow.available_at <= now,
            AttemptRow.id.not_in(select(AttemptOfferRow.attempt_id).where(offer_stands(now))),
        )
        .order_by(EvaluationRow.priority.desc(), EvaluationRow.id, AttemptRow.id)
        .limit(at_most)
    )
    return list(session.scalars(query))


def _fits_on_one_of(capabilities: RunnerCapabilities, devices: Sequence[str]) -> ColumnElement[bool]:
    """The device is one of these, and has as much memory as is asked for."""
    return or_(
        false(),
        *(
            and_(
                EvaluationRow.device == device,
                EvaluationRow.gpu_memory_bytes <= gpu_memory_of(capabilities, device),
            )
            for device in devices
        ),
    )
