"""Fine-tuning jobs as they are started, read and cancelled. How they come further is `fine_tune_journal`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.fine_tuning import FineTuneFailure, FineTuneResult, FineTuneState
from contracts.names import SearchState
from gateway.domain.fine_tuning import FineTuneRecord, FineTuneRequest, GivenPair
from gateway.infra.database import Database, utc_now
from gateway.infra.events import append_event, signal_after_commit
from gateway.infra.fine_tune_pairs import forget_pairs, keep_pairs
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.identifiers import new_id
from gateway.infra.search_store import search_topic
from gateway.infra.search_tables import SearchRow

FINE_TUNES_TOPIC = "fine-tunes"
"""Signalled when there is a job to take up, or one was cancelled."""

_REQUEST = TypeAdapter(FineTuneRequest)
_FAILURE = TypeAdapter(FineTuneFailure)
_RESULT = TypeAdapter(FineTuneResult)
_OPEN = tuple(state.value for state in FineTuneState if not state.is_terminal)
_OPEN_SEARCH = tuple(state.value for state in SearchState if not state.is_terminal)


class FineTuneUnknown(Exception):
    """There is no such job, or it is another tenant's."""


class AdapterUnknown(Exception):
    """There is no such adapter, or it is another tenant's."""


def fine_tune_topic(job_id: str) -> str:
    """The event topic of a job."""
    return f"fine-tune:{job_id}"


class FineTuneStore:
    """Thread-safe. What takes a `session` joins the caller's writing transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, session: Session, tenant: str, request: FineTuneRequest, pairs: Sequence[GivenPair] = ()
    ) -> FineTuneRecord:
        """Accept a job, with the pairs that its caller sent."""
        row = add_fine_tune(session, tenant, request)
        keep_pairs(session, tenant, row.id, pairs)
        return fine_tune_record(row)

    def read(self, job_id: str, tenant: str) -> FineTuneRecord:
        """One job of a tenant. Raises FineTuneUnknown."""
        with self._database.read() as session:
            return fine_tune_record(_own(session, job_id, tenant))

    def page(
        self, tenant: str, limit: int, cursor: str | None, *, with_adapter: bool = False
    ) -> tuple[list[FineTuneRecord], str | None]:
        """A tenant's jobs, newest first, or those whose adapter is there, and the cursor of the next page."""
        query = select(FineTuneRow).where(FineTuneRow.tenant == tenant)
        if with_adapter:
            query = query.where(FineTuneRow.has_adapter.is_(True))
        if cursor is not None:
            query = query.where(FineTuneRow.id < cursor)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(FineTuneRow.id.desc()).limit(limit + 1)).all()
            records = [fine_tune_record(row) for row in rows[:limit]]
        return records, rows[limit - 1].id if len(rows) > limit else None

    def cancel(self, job_id: str, tenant: str) -> None:
        """End a job; one that has ended stays as it is. Raises FineTuneUnknown."""
        with self._database.write() as session:
            row = _own(session, job_id, tenant, locked=True)
            if row.state in _OPEN:
                end_fine_tune(session, row, FineTuneState.CANCELLED)

    # --- adapters ------------------------------------------------------------------------------

    def adapter(self, adapter_id: str, tenant: str) -> FineTuneRecord:
        """The job that an adapter of a tenant came of. Raises AdapterUnknown."""
        with self._database.read() as session:
            row = session.get(FineTuneRow, adapter_id)
            if row is None or row.tenant != tenant or not row.has_adapter:
                raise AdapterUnknown(adapter_id)
            return fine_tune_record(row)

    def users_of(self, adapter_id: str) -> list[str]:
        """The jobs and searches that have not ended and need an adapter, by id."""
        with self._database.read() as session:
            jobs = select(FineTuneRow.id).where(
                FineTuneRow.parent_adapter == adapter_id, FineTuneRow.state.in_(_OPEN)
            )
            started = select(SearchRow.id, SearchRow.request).where(SearchRow.state.in_(_OPEN_SEARCH))
            starting = [
                name for name, asked in session.execute(started) if asked.get("adapter") == adapter_id
            ]
            searches = (
                select(SearchRow.id)
                .join(FineTuneRow, FineTuneRow.search_id == SearchRow.id)
                .where(
                    SearchRow.state.in_(_OPEN_SEARCH),
                    FineTuneRow.after_cycle.is_not(None),
                    (FineTuneRow.id == adapter_id) | (FineTuneRow.parent_adapter == adapter_id),
                )
            )
            return sorted({*session.scalars(jobs), *session.scalars(searches), *starting})

    def forget_adapter(self, adapter_id: str) -> None:
        """An adapter is gone."""
        with self._database.write() as session:
            session.get_one(FineTuneRow, adapter_id).has_adapter = False


def add_fine_tune(
    session: Session, tenant: str, request: FineTuneRequest, after_cycle: int | None = None
) -> FineTuneRow:
    """Accept a job in the caller's transaction; `after_cycle` where a search asks for it."""
    row = FineTuneRow(
        id=new_id("ft"),
        tenant=tenant,
        model=request.model,
        parent_adapter=request.parent_adapter,
        search_id=None if request.elites is None else request.elites.search_id,
        after_cycle=after_cycle,
        request=asdict(request),
        state=FineTuneState.QUEUED,
        phase="",
        is_submitted=False,
        is_lent=False,
        is_settled=False,
        has_adapter=False,
        events_seen=0,
        retries=0,
        created_at=utc_now(),
    )
    session.add(row)
    session.flush()
    append_event(session, fine_tune_topic(row.id), "state", {"state": row.state})
    signal_after_commit(session, FINE_TUNES_TOPIC)
    return row


def end_fine_tune(
    session: Session,
    row: FineTuneRow,
    state: FineTuneState,
    *,
    failure: FineTuneFailure | None = None,
    result: FineTuneResult | None = None,
) -> None:
    """Write the one terminal state of an open job, in the caller's transaction."""
    row.state = state
    row.phase = ""
    row.waiting_for = None
    row.retry_at = None
    row.failure = None if failure is None else asdict(failure)
    row.result = None if result is None else asdict(result)
    row.has_adapter = result is not None
    row.finished_at = utc_now()
    forget_pairs(session, row.id)
    # What was cancelled here may still be at work there, and what was lent is still kept there.
    row.is_settled = state is not FineTuneState.CANCELLED and not row.is_lent
    news: Mapping[str, Any] = {"state": row.state, "failure": row.failure, "result": row.result}
    append_event(session, fine_tune_topic(row.id), "finished", dict(news))
    signal_after_commit(session, FINE_TUNES_TOPIC)
    if row.search_id is not None and row.after_cycle is not None:
        told = {"cycle": row.after_cycle, "fine_tune": row.id, **news}
        append_event(session, search_topic(row.search_id), "fine_tune_finished", told)


def fine_tune_record(row: FineTuneRow) -> FineTuneRecord:
    """A job as the domain knows it."""
    return FineTuneRecord(
        id=row.id,
        tenant=row.tenant,
        request=_REQUEST.validate_python(row.request),
        after_cycle=row.after_cycle,
        state=FineTuneState(row.state),
        phase=row.phase,
        chats=row.chats,
        progress=row.progress,
        is_submitted=row.is_submitted,
        is_lent=row.is_lent,
        weights_sha256=row.weights_sha256,
        events_seen=row.events_seen,
        retries=row.retries,
        retry_at=row.retry_at,
        waiting_for=row.waiting_for,
        failure=None if row.failure is None else _FAILURE.validate_python(row.failure),
        result=None if row.result is None else _RESULT.validate_python(row.result),
        has_adapter=row.has_adapter,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _own(session: Session, job_id: str, tenant: str, *, locked: bool = False) -> FineTuneRow:
    row = session.get(FineTuneRow, job_id, with_for_update=locked or None)
    if row is None or row.tenant != tenant:
        raise FineTuneUnknown(job_id)
    return row
