"""What was done with keys, in the order in which it was done: rows are added, and deleted with age alone."""

import logging
import threading
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from gateway.infra.database import Database
from gateway.infra.tenant_tables import AuditRow

MOST_WAITING = 10_000
"""Entries kept in memory while the database cannot be written."""
FORGOTTEN_AT_ONCE = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditEntry:
    """One use of a key. Never what was sent or answered, and never a key."""

    at: datetime
    tenant: str
    actor: str
    action: str
    target: str
    status: int
    request_id: str
    address: str


class AuditLog:
    """Thread-safe. What came while another entry was being written goes to disk in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[AuditEntry] = []
        self._waiting_lock = threading.Lock()
        self._writing_lock = threading.Lock()

    def append(self, entry: AuditEntry) -> None:
        """Give back once the entry is on disk. Raises StorageUnavailable, and keeps it for later."""
        with self._waiting_lock:
            self._waiting.append(entry)
        with self._writing_lock:
            with self._waiting_lock:
                batch, self._waiting = self._waiting, []
            if not batch:
                return  # whoever wrote before has taken it along
            try:
                with self._database.write() as session:
                    session.execute(insert(AuditRow), [asdict(one) for one in batch])
            except BaseException:
                with self._waiting_lock:
                    kept = [*batch, *self._waiting]
                    self._waiting = kept[:MOST_WAITING]
                if len(kept) > MOST_WAITING:
                    log.error(
                        "the audit log cannot be written; %s entries are lost", len(kept) - MOST_WAITING
                    )
                raise

    def page(
        self, tenant: str | None, limit: int, before: int | None, actor: str | None
    ) -> tuple[list[tuple[int, AuditEntry]], int | None]:
        """(id, entry) of a tenant, or of all, newest first, and the id to go on before."""
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit + 1)
        if tenant is not None:
            query = query.where(AuditRow.tenant == tenant)
        if before is not None:
            query = query.where(AuditRow.id < before)
        if actor is not None:
            query = query.where(AuditRow.actor == actor)
        with self._database.read() as session:
            rows = list(session.scalars(query))
        return [(row.id, _entry(row)) for row in rows[:limit]], rows[limit - 1].id if len(
            rows
        ) > limit else None


def write_entry(session: Session, entry: AuditEntry) -> None:
    """Write an entry in the transaction of what it tells of."""
    session.execute(insert(AuditRow), [asdict(entry)])


def forget_audit(session: Session, before: datetime) -> bool:
    """Delete some of what is older; False once there is no more."""
    older = select(AuditRow.id).where(AuditRow.at < before).order_by(AuditRow.at).limit(FORGOTTEN_AT_ONCE)
    ids = session.scalars(older).all()
    session.execute(delete(AuditRow).where(AuditRow.id.in_(ids)))
    return len(ids) == FORGOTTEN_AT_ONCE


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        at=row.at,
        tenant=row.tenant,
        actor=row.actor,
        action=row.action,
        target=row.target,
        status=row.status,
        request_id=row.request_id,
        address=row.address,
    )
