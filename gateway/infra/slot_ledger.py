"""What tenants have used of the farm's slots: charged when an attempt is given out, set right when it ends.

Nothing needs to be told when an attempt ends. Whoever gives out slots looks first at what became of those
given out before; so no end, by whatever way, is missed, and none is counted twice.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, select, text
from sqlalchemy.orm import Session

from contracts.names import AttemptState
from gateway.domain.fair_shares import FIRST_ESTIMATE_SECONDS, Grant, new_estimate, owed
from gateway.domain.placement import slots_taken
from gateway.infra.agent_directory import capabilities_of
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import AttemptOfferRow, TenantShareRow, TenantUsageRow

CPU_POOL = "cpu"
GPU_POOL = "gpu"
LONGEST_HOLD = timedelta(minutes=10)
_POSTGRES_SLOT_LOCK = 7_346_002


@dataclass(frozen=True)
class Standing:
    """One tenant in one pool of slots, in seconds of virtual time but for the last two."""

    virtual_seconds: float
    usual_seconds: float
    overrun_seconds: float
    """What its running attempts have taken beyond what was charged for them."""


def offer_stands(now: datetime) -> ColumnElement[bool]:
    """Whether an offer keeps its attempt from others; one of a clock that has been set back does not."""
    return and_(AttemptOfferRow.offered_until > now, AttemptOfferRow.offered_until <= now + LONGEST_HOLD)


def pool_of(device: str) -> str:
    """Which pool of slots a device belongs to."""
    return CPU_POOL if device == "cpu" else GPU_POOL


def lock_slots(session: Session) -> None:
    """One gateway gives out slots at a time. On SQLite every writer is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_SLOT_LOCK})


class SlotLedger:
    """The books within one writing transaction that holds `lock_slots`."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now
        self._shares: dict[tuple[str, str], TenantShareRow] = {
            (row.tenant, row.pool): row for row in session.scalars(select(TenantShareRow))
        }
        self._overrun: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._given: Counter[str] = Counter()

    def settle(self, weight_of: dict[str, float]) -> None:
        """Look what became of the attempts that were given out, and book it."""
        self._adopt()
        rows = self._session.execute(
            select(
                AttemptOfferRow, AttemptRow.state, AttemptRow.started_at, AttemptRow.finished_at
            ).outerjoin(AttemptRow, AttemptRow.id == AttemptOfferRow.attempt_id)
        ).all()
        for offer, state, started_at, finished_at in rows:
            place = (offer.tenant, offer.pool)
            if state == AttemptState.LEASED:
                taken = self._seconds(started_at, self._now) * offer.slots
                due = owed(offer.charged_seconds, taken, is_contended=offer.is_contended)
                self._overrun[place] += max(0.0, due)
                self._given[offer.tenant] += 1
            elif state == AttemptState.QUEUED and self._now < offer.offered_until <= self._now + LONGEST_HOLD:
                self._given[offer.tenant] += 1
            else:
                end = finished_at or self._now
                if started_at is not None:
                    self._use(offer, started_at, end)
                self._close(offer, self._seconds(started_at, end), weight_of.get(offer.tenant, 1.0))

    def given(self, tenant: str) -> int:
        """How many attempts of a tenant run or are on their way to an agent."""
        return self._given[tenant]

    def standing(self, tenant: str, pool: str) -> Standing:
        """Where a tenant stands; one that was never served has used nothing."""
        row = self._shares.get((tenant, pool))
        virtual, usual = (
            (0.0, FIRST_ESTIMATE_SECONDS) if row is None else (row.virtual_seconds, row.usual_seconds)
        )
        return Standing(virtual, usual, self._overrun[tenant, pool])

    def present(self, pool: str) -> float:
        """The latest virtual time at which a slot of the pool was given out."""
        return max(
            (row.started_at_virtual for (_, of), row in self._shares.items() if of == pool), default=0.0
        )

    def charge(self, grant: Grant, weight: float, offer: AttemptOfferRow) -> None:
        """Book slots that are given out, or kept, from now on."""
        row = self._share(offer.tenant, offer.pool)
        row.virtual_seconds, row.started_at_virtual = grant.end, max(row.started_at_virtual, grant.start)
        offer.slots, offer.charged_seconds = grant.slots, (grant.end - grant.start) * weight
        offer.is_contended = grant.is_contended
        self._session.add(offer)

    def _adopt(self) -> None:
        """Take into the books what runs without having been offered: a message that came late, say."""
        offered = select(AttemptOfferRow.attempt_id)
        strays = self._session.execute(
            select(
                AttemptRow.id,
                AttemptRow.agent_id,
                EvaluationRow.tenant,
                EvaluationRow.device,
                EvaluationRow.threads,
            )
            .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
            .where(AttemptRow.state == AttemptState.LEASED, AttemptRow.id.not_in(offered))
        ).all()
        for attempt_id, agent_id, tenant, device, threads in strays:
            host = capabilities_of(self._session, agent_id)
            self._session.add(
                AttemptOfferRow(
                    attempt_id=attempt_id,
                    tenant=tenant,
                    pool=pool_of(device),
                    charged_seconds=0.0,
                    offered_until=self._now,
                    slots=1 if host is None else slots_taken(host, threads),
                )
            )
        self._session.flush()

    def _close(self, offer: AttemptOfferRow, taken: float, weight: float) -> None:
        row = self._share(offer.tenant, offer.pool)
        due = owed(offer.charged_seconds, taken * offer.slots, is_contended=offer.is_contended)
        row.virtual_seconds += due / weight
        if taken > 0:
            row.usual_seconds = new_estimate(row.usual_seconds, taken)
        self._session.delete(offer)

    def _use(self, offer: AttemptOfferRow, start: datetime, end: datetime) -> None:
        """Book the time of slots on the days, in UTC, on which they were held."""
        while start < end:
            midnight = (start + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            place = (offer.tenant, offer.pool, day_of(start))
            used = self._session.get(TenantUsageRow, place)
            if used is None:
                used = TenantUsageRow(tenant=place[0], pool=place[1], day=place[2], slot_seconds=0.0)
                self._session.add(used)
            used.slot_seconds += (min(end, midnight) - start).total_seconds() * offer.slots
            start = midnight

    def _share(self, tenant: str, pool: str) -> TenantShareRow:
        row = self._shares.get((tenant, pool))
        if row is None:
            row = TenantShareRow(
                tenant=tenant,
                pool=pool,
                virtual_seconds=0.0,
                started_at_virtual=0.0,
                usual_seconds=FIRST_ESTIMATE_SECONDS,
            )
            self._shares[tenant, pool] = row
            self._session.add(row)
        return row

    @staticmethod
    def _seconds(start: datetime | None, end: datetime | None) -> float:
        return 0.0 if start is None or end is None else max(0.0, (end - start).total_seconds())


def forget_old_usage(session: Session, before: str) -> None:
    """Delete what was used before a day, written YYYY-MM-DD."""
    session.execute(delete(TenantUsageRow).where(TenantUsageRow.day < before))


def running_attempts(session: Session, tenant: str) -> int:
    """How many attempts of a tenant run now."""
    query = (
        select(func.count())
        .select_from(AttemptRow)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .where(AttemptRow.state == AttemptState.LEASED, EvaluationRow.tenant == tenant)
    )
    return session.scalar(query) or 0


def day_of(moment: datetime) -> str:
    """How a day is written."""
    return moment.strftime("%Y-%m-%d")
