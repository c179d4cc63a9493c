"""What waits for a host, tenant by tenant: read from one index alone, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, text
from sqlalchemy.orm import Session

from contracts.jobs import RunnerCapabilities
from contracts.names import AttemptState
from gateway.domain.placement import Requirements, gpu_memory_of, most_threads, slots_taken
from gateway.infra.slot_ledger import offer_stands
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import AttemptOfferRow


@dataclass(frozen=True)
class Asking:
    """The host for which attempts are looked for."""

    agent_id: str
    capabilities: RunnerCapabilities
    slots: int
    """That are free."""


@dataclass(frozen=True)
class Waiting:
    """An attempt, and what it asks of its host."""

    id: str
    wanted: Requirements


REQUIREMENTS = (
    EvaluationRow.device,
    EvaluationRow.tier_strength,
    EvaluationRow.dataset,
    EvaluationRow.gpu_memory_bytes,
    EvaluationRow.threads,
)
"""What `Requirements` are made of, in their order."""

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


def open_tenants(session: Session) -> list[str]:
    """Who has evaluations that have not ended: one look into the index for each, however many there are."""
    following = _NEXT_TENANT[session.get_bind().dialect.name]
    found: list[str] = []
    while (tenant := session.scalar(following, {"tenant": found[-1] if found else ""})) is not None:
        found.append(tenant)
    return found


def is_any_waiting(session: Session, now: datetime, host: RunnerCapabilities) -> bool:
    """Whether something waits that such a host can run."""
    return any(
        session.execute(_first(now, host, tenant, host.devices).limit(1)).first() is not None
        for tenant in open_tenants(session)
    )


def waiting_for(
    session: Session, now: datetime, asking: Asking, tenant: str, devices: Sequence[str]
) -> list[Waiting]:
    """A tenant's first attempts that such a host can run, and the first that fit into its free slots."""
    capabilities, slots = asking.capabilities, asking.slots
    query = _first(now, capabilities, tenant, devices).limit(slots)
    rows = session.execute(query).all()
    if any(slots_taken(capabilities, row.threads) > slots for row in rows):
        fitting = session.execute(query.where(EvaluationRow.threads <= slots * capabilities.threads_per_slot))
        known = {row.id for row in rows}
        rows = [*rows, *(row for row in fitting if row.id not in known)]
    return [Waiting(row.id, Requirements(*row[1:])) for row in rows]


def _first(
    now: datetime, capabilities: RunnerCapabilities, tenant: str, devices: Sequence[str]
) -> Select[str, str, int, str, int, int]:
    """A tenant's attempts that such a host can run, in order. Without a tier that passed its probe: none."""
    strength = -1 if capabilities.tier is None else capabilities.tier.strength
    return (
        select(AttemptRow.id, *REQUIREMENTS)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .where(
            _IS_OPEN_EVALUATION,
            EvaluationRow.tenant == tenant,
            _fits_on_one_of(capabilities, devices),
            EvaluationRow.tier_strength <= strength,
            EvaluationRow.threads <= most_threads(capabilities),
            EvaluationRow.dataset.in_([report.name for report in capabilities.datasets if report.ready]),
            AttemptRow.state == AttemptState.QUEUED,
            AttemptRow.available_at <= now,
            AttemptRow.id.not_in(select(AttemptOfferRow.attempt_id).where(offer_stands(now))),
        )
        .order_by(EvaluationRow.priority.desc(), EvaluationRow.id, AttemptRow.id)
    )


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
