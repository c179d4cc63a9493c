"""Imports as people start and read them. How they come further is `baseline_import_journal`."""

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gateway.domain.baseline_import import ImportFailure, ImportRecord, ImportState
from gateway.infra.baseline_spool import SpooledFile
from gateway.infra.baseline_tables import BaselineImportRow
from gateway.infra.database import Database, utc_now
from gateway.infra.events import signal_after_commit

IMPORTS_TOPIC = "baseline-imports"
"""Signalled when there is an import to take up."""

OPEN_STATES = (ImportState.QUEUED, ImportState.RUNNING)
MAX_OPEN_IMPORTS = 4
"""Of all tenants: each has a file in the state folder."""

_POSTGRES_IMPORTS_LOCK = 7_346_005


class TooManyImports(Exception):
    """As many imports as may be have not ended."""


class ImportUnknown(Exception):
    """There is no such import, or it is another tenant's."""


def import_topic(import_id: str) -> str:
    """Signalled whenever an import has come further."""
    return f"baseline-import:{import_id}"


class BaselineImportStore:
    """Thread-safe. What takes a `session` joins the caller's writing transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, session: Session, import_id: str, tenant: str, origin: str, file: SpooledFile
    ) -> ImportRecord:
        """Accept an import, or give the tenant's open one of the same file: then `file` is not needed.

        Raises TooManyImports.
        """
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_IMPORTS_LOCK})
        same = select(BaselineImportRow).where(
            BaselineImportRow.tenant == tenant,
            BaselineImportRow.origin == origin,
            BaselineImportRow.content_sha256 == file.content_sha256,
            BaselineImportRow.state.in_(OPEN_STATES),
        )
        row = session.scalar(same)
        if row is None:
            if _open_imports(session) >= MAX_OPEN_IMPORTS:
                raise TooManyImports
            row = BaselineImportRow(
                id=import_id,
                tenant=tenant,
                origin=origin,
                state=ImportState.QUEUED,
                content_sha256=file.content_sha256,
                size_bytes=file.size_bytes,
                read=0,
                stored=0,
                unchanged=0,
                refused={},
                created_at=utc_now(),
            )
            session.add(row)
            session.flush()
            signal_after_commit(session, IMPORTS_TOPIC)
        return import_record(row)

    def read(self, import_id: str, tenant: str) -> ImportRecord:
        """One import of a tenant. Raises ImportUnknown."""
        with self._database.read() as session:
            row = session.get(BaselineImportRow, import_id)
            if row is None or row.tenant != tenant:
                raise ImportUnknown(import_id)
            return import_record(row)

    def page(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[ImportRecord], str | None]:
        """A tenant's imports, newest first, and the cursor of the next page."""
        query = select(BaselineImportRow).where(BaselineImportRow.tenant == tenant)
        if cursor is not None:
            query = query.where(BaselineImportRow.id < cursor)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(BaselineImportRow.id.desc()).limit(limit + 1)).all()
        return [import_record(row) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None

    def has_room(self) -> bool:
        """Whether one more import would be accepted now."""
        with self._database.read() as session:
            return _open_imports(session) < MAX_OPEN_IMPORTS


def _open_imports(session: Session) -> int:
    """How many imports of all tenants have not ended."""
    query = select(func.count()).where(BaselineImportRow.state.in_(OPEN_STATES))
    return session.scalar(query) or 0


def import_record(row: BaselineImportRow) -> ImportRecord:
    """An import as the domain knows it."""
    return ImportRecord(
        id=row.id,
        tenant=row.tenant,
        origin=row.origin,
        state=ImportState(row.state),
        content_sha256=row.content_sha256,
        size_bytes=row.size_bytes,
        total=row.total,
        read=row.read,
        stored=row.stored,
        unchanged=row.unchanged,
        refused=dict(row.refused),
        summary=row.summary,
        waiting_for=row.waiting_for,
        failure=None if row.failure is None else ImportFailure(**row.failure),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
