"""How many bytes a tenant has stored: measured now and then, and counted from there on.

To add up every text of a tenant takes as long as reading them. So only tenants with a limit are measured,
once in a while; in between the sources, data sets and proposals that came since are added. Few pairs and
adapters are kept at a time, and these are added up each time.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, func, or_, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction

from gateway.infra.database import Database, utc_now
from gateway.infra.fine_tune_tables import FineTunePairRow, FineTuneRow
from gateway.infra.identifiers import first_id_since
from gateway.infra.search_tables import ModelCallRow, PromptTextRow, SearchRow, SlotRow
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import DatasetOwnerRow, TenantQuotaRow

MEASURED_EVERY = timedelta(hours=1)


class _Octets(GenericFunction[int]):
    """The length of a text in UTF-8."""

    type = Integer()
    inherit_cache = True


@compiles(_Octets, "sqlite")
def _octets_of_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


@compiles(_Octets, "postgresql")
def _octets_of_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"


def stored_bytes(session: Session, tenant: str) -> int:
    """What a tenant has stored: as it was last measured, and what came since.

    In a writing transaction that holds the tenant's lock. One that never was measured is measured now, once.
    """
    row = session.get(TenantQuotaRow, tenant)
    if row is None or row.stored_bytes is None or row.measured_at is None:
        row = _note(session, tenant, _measured(session, tenant), utc_now())
    return _since_measured(session, row)


def known_stored_bytes(session: Session, tenant: str) -> int | None:
    """The same for whoever only looks; None where it was never measured."""
    row = session.get(TenantQuotaRow, tenant)
    if row is None or row.stored_bytes is None or row.measured_at is None:
        return None
    return _since_measured(session, row)


def add_stored(session: Session, tenant: str, *texts: str) -> None:
    """Count texts that cannot be told by their age, in the transaction that keeps them."""
    size = sum(len(text.encode(errors="replace")) for text in texts)
    session.execute(
        update(TenantQuotaRow)
        .where(TenantQuotaRow.tenant == tenant, TenantQuotaRow.stored_bytes.is_not(None))
        .values(stored_bytes=TenantQuotaRow.stored_bytes + size)
    )


def measure_storage(database: Database) -> None:
    """Measure the tenants with a limit that were not measured lately, one at a time.

    Who is limited by the farm's default alone has been measured once, when it first stored something.
    """
    now = utc_now()
    counted = or_(TenantQuotaRow.storage_bytes.is_not(None), TenantQuotaRow.measured_at.is_not(None))
    with database.read() as session:
        due = [
            row.tenant
            for row in session.scalars(select(TenantQuotaRow).where(counted))
            if row.measured_at is None or now - row.measured_at >= MEASURED_EVERY
        ]
    for tenant in due:
        with database.read() as session:
            begun = utc_now()
            found = _measured(session, tenant)
        with database.write() as session:
            if session.get(TenantQuotaRow, tenant, with_for_update=True) is not None:
                _note(session, tenant, found, begun)


def _note(session: Session, tenant: str, found: int, begun: datetime) -> TenantQuotaRow:
    row = session.get(TenantQuotaRow, tenant)
    if row is None:
        row = TenantQuotaRow(tenant=tenant)
        session.add(row)
    row.stored_bytes, row.measured_at = found, begun
    session.flush()
    return row


def _since_measured(session: Session, row: TenantQuotaRow) -> int:
    begun = row.measured_at or utc_now()
    evaluations = select(_octets(EvaluationRow.source)).where(
        EvaluationRow.tenant == row.tenant,
        # Ids grow with time, and there is an index of them: older rows are not even looked at.
        EvaluationRow.id >= first_id_since("ev", begun),
    )
    datasets = select(DatasetOwnerRow.size_bytes).where(
        DatasetOwnerRow.tenant == row.tenant, DatasetOwnerRow.created_at >= begun
    )
    pairs = select(_octets(FineTunePairRow.baseline_source) + _octets(FineTunePairRow.target_source)).where(
        FineTunePairRow.tenant == row.tenant
    )
    adapters = select(FineTuneRow.adapter_bytes).where(
        FineTuneRow.tenant == row.tenant, FineTuneRow.has_adapter.is_(True)
    )
    added = (evaluations, datasets, pairs, adapters)
    return (row.stored_bytes or 0) + sum(_total(session, query) for query in added)


def _measured(session: Session, tenant: str) -> int:
    evaluations = select(EvaluationRow.id).where(EvaluationRow.tenant == tenant)
    searches = select(SearchRow.id).where(SearchRow.tenant == tenant)
    of_slots = _octets(SlotRow.source) + _octets(SlotRow.raw_proposal) + _octets(SlotRow.delta)
    return sum(
        _total(session, query)
        for query in (
            select(_octets(EvaluationRow.source)).where(EvaluationRow.tenant == tenant),
            select(_octets(AttemptRow.log)).where(AttemptRow.evaluation_id.in_(evaluations)),
            select(of_slots).where(SlotRow.search_id.in_(searches)),
            select(_octets(ModelCallRow.answer)).where(ModelCallRow.search_id.in_(searches)),
            select(_octets(PromptTextRow.text)).where(PromptTextRow.search_id.in_(searches)),
            select(DatasetOwnerRow.size_bytes).where(DatasetOwnerRow.tenant == tenant),
        )
    )


def _octets(column: Any) -> ColumnElement[int]:
    return func.coalesce(_Octets(column), 0)


def _total(session: Session, sizes: Any) -> int:
    (size,) = sizes.subquery().columns
    return int(session.scalar(select(func.sum(size))) or 0)
