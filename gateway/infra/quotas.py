"""Quotas on disk, and what they hold against: counted in the transaction that wants more.

`lock_tenant` comes before counting. So of two requests that would each just fit, one is refused, on a
database with concurrent writers too.
"""

import zlib
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from contracts.fine_tuning import FineTuneState
from contracts.names import SearchState
from gateway.domain.api_keys import LOCAL_TENANT
from gateway.domain.baseline_smoke import SmokeRunState
from gateway.domain.quotas import (
    QUEUE_RETRY_SECONDS,
    SEARCHES_RETRY_SECONDS,
    Quota,
    QuotaName,
    require_within,
    seconds_to_midnight,
)
from gateway.infra.baseline_tables import SmokeRunRow
from gateway.infra.database import Database, now_in
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.gpu_seconds import gpu_seconds_today
from gateway.infra.search_tables import SearchRow
from gateway.infra.slot_ledger import running_attempts
from gateway.infra.tables import EvaluationRow
from gateway.infra.tenant_storage import known_stored_bytes, measure_storage, stored_bytes
from gateway.infra.tenant_tables import IS_OPEN, ApiKeyRow, TenantQuotaRow

LIMITS = tuple(field.name for field in fields(Quota))
_POSTGRES_TENANT_LOCKS = 7_346_002
_NAMES_OF_TENANTS = (ApiKeyRow.tenant, TenantQuotaRow.tenant, EvaluationRow.tenant, SearchRow.tenant)
_OPEN_SEARCHES = [state.value for state in SearchState if not state.is_terminal]
_OPEN_FINE_TUNES = [state.value for state in FineTuneState if not state.is_terminal]
_OPEN_SMOKE_RUNS = [state.value for state in SmokeRunState if not state.is_terminal]


@dataclass(frozen=True)
class Usage:
    """What a tenant uses now."""

    queued: int
    running: int
    gpu_seconds_per_day: int
    storage_bytes: int | None
    """None where it is not measured, because nothing limits it."""
    searches: int


def lock_tenant(session: Session, tenant: str) -> None:
    """Until the transaction ends nobody else counts what this tenant has. On SQLite every writer is alone."""
    if session.get_bind().dialect.name == "postgresql":
        # Two tenants with one number only wait for each other.
        number = zlib.crc32(tenant.encode()) - 2**31
        keys = {"kind": _POSTGRES_TENANT_LOCKS, "tenant": number}
        session.execute(text("SELECT pg_advisory_xact_lock(:kind, :tenant)"), keys)


class QuotaStore:
    """Quotas of tenants. What takes a `session` joins the caller's transaction."""

    def __init__(self, database: Database, default: Quota) -> None:
        self._database = database
        self.default = default

    def read(self, tenant: str) -> tuple[Quota, Usage]:
        """What a tenant may use, and what it uses now."""
        with self._database.read() as session:
            quota = self.in_force(session, tenant)
            used = _usage(session, tenant, known_stored_bytes(session, tenant))
        if quota.storage_bytes is None:
            return quota, replace(used, storage_bytes=None)
        if used.storage_bytes is None:
            with self._database.write() as session:
                lock_tenant(session, tenant)
                used = replace(used, storage_bytes=stored_bytes(session, tenant))
        return quota, used

    def in_force(self, session: Session, tenant: str) -> Quota:
        """What a tenant may use: its own quota, and the farm's where it has none."""
        row = session.get(TenantQuotaRow, tenant)
        return self.default if row is None else self._over_default(row)

    def named_in(self, session: Session) -> dict[str, Quota]:
        """The quotas of all tenants that have one of their own."""
        return {row.tenant: self._over_default(row) for row in session.scalars(select(TenantQuotaRow))}

    def change(self, tenant: str, changes: dict[str, Any]) -> None:
        """Set a tenant's own limits by name; None goes back to the farm's."""
        with self._database.write() as session:
            lock_tenant(session, tenant)
            row = session.get(TenantQuotaRow, tenant)
            if row is None:
                row = TenantQuotaRow(tenant=tenant)
                session.add(row)
            for name, value in changes.items():
                setattr(row, name, value)
        if changes.get("storage_bytes") is not None:
            measure_storage(self._database)  # now, and not while somebody's submission waits for it

    def _over_default(self, row: TenantQuotaRow) -> Quota:
        own = {name: getattr(row, name) for name in LIMITS}
        return replace(self.default, **{name: value for name, value in own.items() if value is not None})

    def tenants(self) -> list[str]:
        """Everybody who has a key, a quota, evaluations or searches, by name."""
        with self._database.read() as session:
            found = {LOCAL_TENANT}
            for column in _NAMES_OF_TENANTS:
                found |= set(session.scalars(select(column).distinct()))
            return sorted(found)

    def is_known(self, tenant: str) -> bool:
        """Whether somebody is one of them."""
        with self._database.read() as session:
            return tenant == LOCAL_TENANT or any(
                session.scalar(select(column).where(column == tenant).limit(1)) is not None
                for column in _NAMES_OF_TENANTS
            )

    # --- in the transaction that wants more ----------------------------------------------------------

    def require_evaluations(self, session: Session, tenant: str, wanted: int, gpu: int, stored: int) -> None:
        """Room for so many more evaluations, `gpu` of them on GPUs, `stored` bytes of sources together.

        Raises QuotaExceeded.
        """
        lock_tenant(session, tenant)
        quota = self.in_force(session, tenant)
        open_now = open_evaluations(session, tenant)
        require_within(quota, QuotaName.QUEUED, open_now, wanted, QUEUE_RETRY_SECONDS)
        now = now_in(session)
        if gpu and quota.gpu_seconds_per_day is not None:
            today = gpu_seconds_today(session, tenant, now)
            name, retry_seconds = QuotaName.GPU_SECONDS_PER_DAY, seconds_to_midnight(now)
            require_within(quota, name, int(today.used), 1, retry_seconds, reserved=int(today.reserved))
        self.require_storage(session, tenant, stored)

    def require_storage(self, session: Session, tenant: str, wanted: int) -> int | None:
        """Room for so many more bytes; gives how much there is, None where nothing limits it.

        Raises QuotaExceeded.
        """
        lock_tenant(session, tenant)
        quota = self.in_force(session, tenant)
        if quota.storage_bytes is None:
            return None
        used = stored_bytes(session, tenant)
        require_within(quota, QuotaName.STORAGE_BYTES, used, wanted)
        return quota.storage_bytes - used

    def require_not_full(self, tenant: str) -> None:
        """Room to store anything more, in a transaction of its own. Raises QuotaExceeded."""
        with self._database.read() as session:
            if self.in_force(session, tenant).storage_bytes is None:
                return
        with self._database.write() as session:
            self.require_storage(session, tenant, 1)

    def has_room(self, session: Session, tenant: str, share: float = 1.0) -> bool:
        """Whether this share of a tenant's queue takes one more evaluation. Where not, its search waits."""
        lock_tenant(session, tenant)
        return open_evaluations(session, tenant) < int(self.in_force(session, tenant).queued * share)

    def has_gpu_seconds(self, session: Session, tenant: str) -> bool:
        """Whether anything is left of a tenant's GPU seconds of today, beside what is reserved."""
        budget = self.in_force(session, tenant).gpu_seconds_per_day
        if budget is None:
            return True
        today = gpu_seconds_today(session, tenant, now_in(session))
        return today.used + today.reserved < budget

    def count_fine_tunes(self, session: Session, tenant: str) -> int:
        """How many fine-tunes of a tenant have not ended; nobody adds one before the transaction ends."""
        lock_tenant(session, tenant)
        wanted = (FineTuneRow.tenant == tenant, FineTuneRow.state.in_(_OPEN_FINE_TUNES))
        return _count(session, select(func.count()).where(*wanted))

    def count_smoke_runs(self, session: Session, tenant: str) -> int:
        """The same of smoke runs."""
        lock_tenant(session, tenant)
        wanted = (SmokeRunRow.tenant == tenant, SmokeRunRow.state.in_(_OPEN_SMOKE_RUNS))
        return _count(session, select(func.count()).where(*wanted))

    def require_search(self, session: Session, tenant: str) -> None:
        """Room for one more search. Raises QuotaExceeded."""
        lock_tenant(session, tenant)
        quota = self.in_force(session, tenant)
        used = open_searches(session, tenant)
        require_within(quota, QuotaName.SEARCHES, used, 1, SEARCHES_RETRY_SECONDS)
        self.require_storage(session, tenant, 1)


def _usage(session: Session, tenant: str, storage_bytes: int | None) -> Usage:
    return Usage(
        queued=open_evaluations(session, tenant),
        running=running_attempts(session, tenant),
        gpu_seconds_per_day=int(gpu_seconds_today(session, tenant, now_in(session)).used),
        storage_bytes=storage_bytes,
        searches=open_searches(session, tenant),
    )


def open_evaluations(session: Session, tenant: str) -> int:
    """How many evaluations of a tenant have not ended."""
    return _count(
        session,
        select(func.count(EvaluationRow.id)).where(EvaluationRow.tenant == tenant, IS_OPEN),
    )


def open_searches(session: Session, tenant: str) -> int:
    """How many searches of a tenant have not ended."""
    return _count(
        session, select(func.count()).where(SearchRow.tenant == tenant, SearchRow.state.in_(_OPEN_SEARCHES))
    )


def _count(session: Session, query: Any) -> int:
    return session.scalar(query) or 0
