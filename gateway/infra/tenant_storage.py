"""How many bytes a tenant has stored: measured now and then, and counted from there on.

To add up every text of a tenant takes as long as reading them. So only tenants with a limit are measured,
once in a while; in between the sources that came since are added.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction

from gateway.infra.database import Database, utc_now
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
    """What a tenant has stored: as it was last measured, or now where it never was, and what came since."""
    row = session.get(TenantQuotaRow, tenant)
    if row is None or row.stored_bytes is None or row.measured_at is None:
        return _measured(session, tenant)
    since = select(_octets(EvaluationRow.source)).where(
        EvaluationRow.tenant == tenant, EvaluationRow.created_at >= row.measured_at
    )
    return row.stored_bytes + _total(session, since)


def measure_storage(database: Database) -> None:
    """Measure the tenants with a limit that were not measured lately, one at a time."""
    now = utc_now()
    with database.read() as session:
        limited = session.scalars(select(TenantQuotaRow).where(TenantQuotaRow.storage_bytes.is_not(None)))
        due = [
            row.tenant
            for row in limited
            if row.measured_at is None or now - row.measured_at >= MEASURED_EVERY
        ]
    for tenant in due:
        with database.read() as session:
            begun = utc_now()
            found = _measured(session, tenant)
        with database.write() as session:
            row = session.get(TenantQuotaRow, tenant, with_for_update=True)
            if row is not None:
                row.stored_bytes, row.measured_at = found, begun


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
