"""GPU seconds of a tenant today, in UTC: what it has used, and what its attempts in flight may still take."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, or_, select
from sqlalchemy.orm import Session

from contracts.names import AttemptState
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.slot_ledger import GPU_POOL, day_of, offer_stands
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import AttemptOfferRow, TenantUsageRow

_WALL_SECONDS = EvaluationRow.request["limits"]["wall_seconds"].as_float()


@dataclass(frozen=True)
class GpuSeconds:
    """Of slots, each for itself."""

    used: float
    """Booked, and of what runs what has been so far; leases on fine-tunes included."""
    reserved: float
    """Up to the wall limits of what runs or is on its way. A fine-tune has none, and reserves nothing."""


def gpu_seconds_today(session: Session, tenant: str, now: datetime) -> GpuSeconds:
    """What a tenant has used and reserved since midnight."""
    booked = session.get(TenantUsageRow, (tenant, GPU_POOL, day_of(now)))
    used, reserved = 0.0 if booked is None else booked.slot_seconds, 0.0
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    is_on_its_way = and_(AttemptRow.state == AttemptState.QUEUED, offer_stands(now))
    in_flight = session.execute(
        select(AttemptRow.started_at, AttemptOfferRow.slots, _WALL_SECONDS, AttemptRow.state)
        .join(AttemptOfferRow, AttemptOfferRow.attempt_id == AttemptRow.id)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .where(AttemptOfferRow.tenant == tenant, AttemptOfferRow.pool == GPU_POOL)
        .where(or_(AttemptRow.state == AttemptState.LEASED, is_on_its_way))
    )
    used += _seconds_of_fine_tunes(session, tenant, now, midnight)
    for started_at, slots, wall_seconds, state in in_flight:
        start = started_at if state == AttemptState.LEASED and started_at is not None else now
        used += max(0.0, (now - max(start, midnight)).total_seconds()) * slots
        reserved += max(0.0, wall_seconds - (now - start).total_seconds()) * slots
    return GpuSeconds(used, reserved)


def _seconds_of_fine_tunes(session: Session, tenant: str, now: datetime, midnight: datetime) -> float:
    """How long leases on a tenant's fine-tunes were held since midnight on hosts that train on GPUs."""
    is_held = FineTuneAttemptRow.state == AttemptState.LEASED
    leases = session.execute(
        select(
            FineTuneAttemptRow.started_at,
            case((is_held, None), else_=FineTuneAttemptRow.finished_at),
            FineTuneAttemptRow.gpus,
        )
        .join(FineTuneRow, FineTuneRow.id == FineTuneAttemptRow.job_id)
        .where(FineTuneRow.tenant == tenant, FineTuneAttemptRow.started_at.is_not(None))
        .where(or_(is_held, FineTuneAttemptRow.finished_at > midnight))
    )
    return sum(
        max(0.0, ((end or now) - max(start, midnight)).total_seconds()) * gpus for start, end, gpus in leases
    )


def gpu_room(
    session: Session, tenant: str, now: datetime, budget_seconds: float, slots: Mapping[str, int]
) -> int:
    """How many of these attempts, which take so many slots each, a tenant's budget lets begin now.

    One begins as long as anything is left, and reserves what it may take at most; so what is used beyond the
    budget is never more than one attempt takes.
    """
    today = gpu_seconds_today(session, tenant, now)
    left = budget_seconds - today.used - today.reserved
    if left <= 0:
        return 0
    rows = session.execute(
        select(AttemptRow.id, _WALL_SECONDS)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .where(AttemptRow.id.in_(slots))
    )
    largest = max((wall_seconds * slots[attempt_id] for attempt_id, wall_seconds in rows), default=left)
    return math.ceil(left / largest)
