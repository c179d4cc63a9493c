"""Which attempts are given out next: fair between tenants, suited to the host that asks.

An offer binds nobody: the claim alone does (`attempt_queue`). It is on disk, so that no two gateways offer
one attempt at a time, and it lapses: losing one costs some seconds of waiting, never an attempt.
"""

import threading
from datetime import datetime, timedelta
from functools import cached_property

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from contracts.jobs import RunnerCapabilities
from contracts.names import AttemptState
from gateway.domain.fair_shares import Contender, Demand, grant_slots
from gateway.domain.placement import Requirements, can_run, keeper, slots_taken
from gateway.domain.quotas import Quota
from gateway.infra.agent_directory import live_agents
from gateway.infra.database import Database, now_in
from gateway.infra.gpu_seconds import gpu_room
from gateway.infra.quotas import QuotaStore
from gateway.infra.slot_counts import free_slots
from gateway.infra.slot_ledger import GPU_POOL, LONGEST_HOLD, SlotLedger, lock_slots, offer_stands, pool_of
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import AttemptOfferRow
from gateway.infra.waiting_attempts import (
    REQUIREMENTS,
    Asking,
    Waiting,
    is_any_waiting,
    open_tenants,
    waiting_for,
)

OFFER_SECONDS = 3.0
"""How long an attempt offered to a polling agent is kept from the others."""
KEPT_FOR = timedelta(seconds=10)
"""How long slots are kept for an attempt after the agent was last heard asking for more."""


class AttemptOffers:
    """Offers about as many attempts as there are free slots. Thread-safe, and safe beside other gateways."""

    def __init__(self, database: Database, quotas: QuotaStore) -> None:
        self._database = database
        self._quotas = quotas
        self._lock = threading.Lock()
        self._last_pools: dict[str, str] = {}

    def next_for(self, agent_id: str) -> str | None:
        """An attempt that this agent can run now and nobody else was just offered, or None.

        An agent whose slots are all taken gets nothing, nor does one that keeps those that are free for an
        attempt that needs more of them.
        """
        with self._database.read() as session:
            asking = _asking(session, agent_id)
            if asking is None or not _is_any_for(session, asking):
                return None
        with self._lock, self._database.write() as session:
            lock_slots(session)
            # Another slot of the same agent may have been offered something in between.
            asking = _asking(session, agent_id)
            hold = timedelta(seconds=OFFER_SECONDS)
            given = [] if asking is None else self._give(session, asking, 1, hold, agent_id)
        return given[0] if given else None

    def next_batch(
        self, capabilities: RunnerCapabilities, slots: int, hold_seconds: float, agent_id: str = ""
    ) -> list[str]:
        """Attempts for so many slots of such a host, in fair order, each kept from others for so long.

        The tenant that has used least for its weight comes first (`gateway.domain.fair_shares`); within a
        tenant priority, then age. `agent_id`: of the host, where it is a certain one.
        """
        if slots <= 0:
            return []
        asking = Asking(agent_id, capabilities, slots)
        with self._database.read() as session:
            if not _is_any_for(session, asking):
                return []
        # One thread of this process at a time: the others would only wait for the database's lock.
        with self._lock, self._database.write() as session:
            lock_slots(session)
            hold = min(timedelta(seconds=hold_seconds), LONGEST_HOLD)
            return self._give(session, asking, slots, hold)

    def settle(self) -> None:
        """Book what has ended, also while nobody asks for work."""
        with self._database.write() as session:
            lock_slots(session)
            weights = {name: quota.weight for name, quota in self._quotas.named_in(session).items()}
            SlotLedger(session, now_in(session)).settle(weights)

    def _give(
        self, session: Session, asking: Asking, at_most: int, hold: timedelta, asked_by: str | None = None
    ) -> list[str]:
        now = now_in(session)
        named = self._quotas.named_in(session)
        kept = _kept_at(session, now, asking)
        ledger = SlotLedger(session, now)
        ledger.settle({name: quota.weight for name, quota in named.items()})
        session.flush()
        given, left = list[str](), asking.slots
        if kept is not None and kept.slots > left:
            kept.offered_until = now + KEPT_FOR
            return given
        if kept is not None:
            # It stays charged as it was when its turn came.
            kept.is_kept, kept.agent_id, kept.offered_until = False, asked_by, now + hold
            given.append(kept.attempt_id)
            left -= kept.slots
        keeping = _Keeping(session, asking)
        for pool, devices in self._pools(asking):
            waiting = {
                tenant: {one.id: keeping.demand(one) for one in found}
                for tenant in open_tenants(session)
                if (found := waiting_for(session, now, asking, tenant, devices))
            }
            quotas = {tenant: named.get(tenant, self._quotas.default) for tenant in waiting}
            contenders = [
                _contender(session, ledger, pool, tenant, demands, quotas[tenant])
                for tenant, demands in waiting.items()
            ]
            round_ = grant_slots(contenders, ledger.present(pool), left, at_most - len(given))
            for grant in round_.in_order:
                is_kept = grant is round_.kept
                offer = AttemptOfferRow(
                    attempt_id=list(waiting[grant.tenant])[grant.place],
                    tenant=grant.tenant,
                    pool=pool,
                    agent_id=asking.agent_id if is_kept else asked_by,
                    is_kept=is_kept,
                    offered_until=now + (KEPT_FOR if is_kept else hold),
                )
                ledger.charge(grant, quotas[grant.tenant].weight, offer)
                self._last_pools[asking.agent_id] = pool
                if not is_kept:
                    given.append(offer.attempt_id)
                    left -= grant.slots
            if round_.kept is not None:
                break
        return given

    def _pools(self, asking: Asking) -> list[tuple[str, list[str]]]:
        """A host's devices by pool. A host with both serves them in turn, so that neither starves there."""
        devices = asking.capabilities.devices
        last = self._last_pools.get(asking.agent_id)
        pools = {pool_of(device) for device in devices}
        order = sorted(pools, key=lambda pool: (pool == last, pool != GPU_POOL))
        return [(pool, [device for device in devices if pool_of(device) == pool]) for pool in order]


class _Keeping:
    """For which attempts a host keeps slots that become free."""

    def __init__(self, session: Session, asking: Asking) -> None:
        self._session = session
        self._asking = asking

    def demand(self, waiting: Waiting) -> Demand:
        """What an attempt asks for."""
        slots = slots_taken(self._asking.capabilities, waiting.wanted.threads)
        asked = self._asking.agent_id
        # A host without a name cannot come back for what it keeps.
        return Demand(slots, bool(asked) and slots > 1 and keeper(self._hosts, waiting.wanted) == asked)

    @cached_property
    def _hosts(self) -> dict[str, tuple[RunnerCapabilities, int]]:
        live = live_agents(self._session)
        free = free_slots(self._session, live, are_kept_free=False)
        hosts = {agent_id: (host, free[agent_id]) for agent_id, host in live.items()}
        return hosts | {self._asking.agent_id: (self._asking.capabilities, self._asking.slots)}


def _contender(
    session: Session, ledger: SlotLedger, pool: str, tenant: str, demands: dict[str, Demand], quota: Quota
) -> Contender:
    standing = ledger.standing(tenant, pool)
    rooms = [] if quota.running is None else [max(0, quota.running - ledger.given(tenant))]
    budget = quota.gpu_seconds_per_day
    if pool == GPU_POOL and budget is not None:
        slots = {attempt_id: demand.slots for attempt_id, demand in demands.items()}
        rooms.append(gpu_room(session, tenant, now_in(session), budget, slots))
    return Contender(
        tenant=tenant,
        weight=quota.weight,
        virtual_seconds=standing.virtual_seconds,
        overrun_seconds=standing.overrun_seconds,
        usual_seconds=standing.usual_seconds,
        waiting=len(demands),
        room=min(rooms, default=None),
        demands=list(demands.values()),
    )


def _asking(session: Session, agent_id: str) -> Asking | None:
    """A live agent with free slots."""
    capabilities = live_agents(session).get(agent_id)
    free = 0 if capabilities is None else free_slots(session, {agent_id: capabilities})[agent_id]
    return None if capabilities is None or free <= 0 else Asking(agent_id, capabilities, free)


def _is_any_for(session: Session, asking: Asking) -> bool:
    now = now_in(session)
    return is_any_waiting(session, now, asking.capabilities) or (
        session.execute(_kept_by(asking.agent_id, now)).first() is not None
    )


def _kept_at(session: Session, now: datetime, asking: Asking) -> AttemptOfferRow | None:
    """What a host keeps slots for; no longer, where it cannot run it any more."""
    found = session.execute(_kept_by(asking.agent_id, now)).first()
    if found is None:
        return None
    offer, wanted = found[0], Requirements(*found[1:])
    host = asking.capabilities
    if can_run(host, wanted) and slots_taken(host, wanted.threads) == offer.slots:
        return offer
    offer.offered_until = now
    return None


def _kept_by(agent_id: str, now: datetime) -> Select[AttemptOfferRow, str, int, str, int, int]:
    return (
        select(AttemptOfferRow, *REQUIREMENTS)
        .join(AttemptRow, AttemptRow.id == AttemptOfferRow.attempt_id)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .where(AttemptOfferRow.is_kept, AttemptOfferRow.agent_id == agent_id, offer_stands(now))
        .where(AttemptRow.state == AttemptState.QUEUED)
    )
