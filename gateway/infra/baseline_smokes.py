"""Smoke runs as people start, read and cancel them. How they come further is `baseline_smoke_journal`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from gateway.domain.baseline_filter import BaselineFilter
from gateway.domain.baseline_smoke import (
    SmokeItem,
    SmokeRunRecord,
    SmokeRunState,
    SmokeState,
    SmokeTally,
    counted,
)
from gateway.infra.baseline_catalogue import conditions
from gateway.infra.baseline_tables import BaselineRow, BaselineSmokeRow, SmokeItemRow, SmokeRunRow
from gateway.infra.database import Database, utc_now
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import signal_after_commit
from gateway.infra.identifiers import new_id

SMOKE_RUNS_TOPIC = "baseline-smoke-runs"
"""Signalled when there is a run to take up, or one was cancelled."""


class SmokeRunUnknown(Exception):
    """There is no such run, or it is another tenant's."""


def smoke_run_topic(run_id: str) -> str:
    """Signalled whenever a run has come further."""
    return f"baseline-smoke-run:{run_id}"


class SmokeRunStore:
    """Thread-safe. What takes a `session` joins the caller's writing transaction."""

    def __init__(self, database: Database, evaluations: EvaluationStore) -> None:
        self._database = database
        self._evaluations = evaluations

    def create(
        self,
        session: Session,
        tenant: str,
        dataset: str,
        wanted: BaselineFilter,
        names: Sequence[str] | None,
        limit: int | None,
        again: bool,
    ) -> SmokeRunRecord:
        """Accept a run over the published networks that the filter and `names` admit.

        Their order is that of their sources' hashes: the first `limit` of it are a fair sample, and part of
        every larger one. With `again`, the record forgets which of them failed.
        """
        query = select(BaselineRow.name, BaselineRow.digest).where(
            BaselineRow.published.is_(True), *conditions(wanted)
        )
        if names is not None:
            query = query.where(BaselineRow.name.in_(names))
        drawn = session.execute(query.order_by(BaselineRow.candidate_id, BaselineRow.name).limit(limit)).all()
        chosen = {key: value for key, value in asdict(wanted).items() if value is not None}
        chosen |= {} if names is None else {"names": list(names)}
        chosen |= {} if limit is None else {"limit": limit}
        chosen |= {"again": True} if again else {}
        run = SmokeRunRow(
            id=new_id("sm"),
            tenant=tenant,
            dataset=dataset,
            chosen=chosen,
            state=SmokeRunState.RUNNING,
            created_at=utc_now(),
        )
        session.add(run)
        session.flush()
        items = [
            {
                "run_id": run.id,
                "place": place,
                "name": name,
                "digest": digest,
                "state": SmokeState.PENDING,
                "reused": False,
            }
            for place, (name, digest) in enumerate(drawn)
        ]
        if items:
            session.execute(insert(SmokeItemRow), items)
        if again:
            of_run = select(SmokeItemRow.digest).where(SmokeItemRow.run_id == run.id)
            session.execute(
                delete(BaselineSmokeRow).where(
                    BaselineSmokeRow.digest.in_(of_run),
                    BaselineSmokeRow.dataset == dataset,
                    BaselineSmokeRow.state == SmokeState.FAILED,
                )
            )
        signal_after_commit(session, SMOKE_RUNS_TOPIC)
        return _record(session, run)

    def read(self, run_id: str, tenant: str) -> SmokeRunRecord:
        """One run of a tenant. Raises SmokeRunUnknown."""
        with self._database.read() as session:
            return _record(session, _own(session, run_id, tenant))

    def page(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[SmokeRunRecord], str | None]:
        """A tenant's runs, newest first, and the cursor of the next page."""
        query = select(SmokeRunRow).where(SmokeRunRow.tenant == tenant)
        if cursor is not None:
            query = query.where(SmokeRunRow.id < cursor)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(SmokeRunRow.id.desc()).limit(limit + 1)).all()
            records = [_record(session, row) for row in rows[:limit]]
        return records, rows[limit - 1].id if len(rows) > limit else None

    def items(
        self, run_id: str, tenant: str, state: SmokeState | None, limit: int, after: int | None
    ) -> tuple[list[SmokeItem], int | None]:
        """The networks of a run in their order, and the place to go on after. Raises SmokeRunUnknown."""
        query = select(SmokeItemRow).where(SmokeItemRow.run_id == run_id)
        if state is not None:
            query = query.where(SmokeItemRow.state == state)
        if after is not None:
            query = query.where(SmokeItemRow.place > after)
        with self._database.read() as session:
            _own(session, run_id, tenant)
            rows = session.scalars(query.order_by(SmokeItemRow.place).limit(limit + 1)).all()
            items = [smoke_item(row) for row in rows[:limit]]
        return items, items[-1].place if len(rows) > limit else None

    def cancel(self, run_id: str, tenant: str) -> None:
        """End a run and its open evaluations; what it has found stays. Raises SmokeRunUnknown."""
        with self._database.write() as session:
            run = _own(session, run_id, tenant, locked=True)
            if SmokeRunState(run.state).is_terminal:
                return
            unfinished = select(SmokeItemRow).where(
                SmokeItemRow.run_id == run_id,
                SmokeItemRow.state.in_((SmokeState.PENDING, SmokeState.SUBMITTED)),
            )
            for item in session.scalars(unfinished).all():
                if item.evaluation_id is not None:
                    self._evaluations.cancel(session, item.evaluation_id)
                item.state = SmokeState.CANCELLED
            end_run(session, run, SmokeRunState.CANCELLED)


def end_run(session: Session, run: SmokeRunRow, state: SmokeRunState) -> None:
    """Write the end of a run down."""
    run.state, run.waiting_for, run.finished_at = state, None, utc_now()
    signal_after_commit(session, smoke_run_topic(run.id))
    signal_after_commit(session, SMOKE_RUNS_TOPIC)


def _own(session: Session, run_id: str, tenant: str, locked: bool = False) -> SmokeRunRow:
    row = session.get(SmokeRunRow, run_id, with_for_update=locked)
    if row is None or row.tenant != tenant:
        raise SmokeRunUnknown(run_id)
    return row


def smoke_item(row: SmokeItemRow) -> SmokeItem:
    """A network of a run as the domain knows it."""
    return SmokeItem(
        place=row.place,
        name=row.name,
        digest=row.digest,
        state=SmokeState(row.state),
        reason=row.reason,
        phase=row.phase,
        message=row.message,
        evaluation_id=row.evaluation_id,
        reused=row.reused,
    )


def _record(session: Session, run: SmokeRunRow) -> SmokeRunRecord:
    of_run = SmokeItemRow.run_id == run.id
    rows: Any = session.execute(
        select(SmokeItemRow.state, SmokeItemRow.reason, SmokeItemRow.phase, func.count())
        .where(of_run)
        .group_by(SmokeItemRow.state, SmokeItemRow.reason, SmokeItemRow.phase)
    )
    tallies = [SmokeTally(SmokeState(state), reason, phase, n) for state, reason, phase, n in rows]
    reused = session.scalar(select(func.count()).where(of_run, SmokeItemRow.reused.is_(True)))
    return SmokeRunRecord(
        id=run.id,
        tenant=run.tenant,
        dataset=run.dataset,
        chosen=run.chosen,
        state=SmokeRunState(run.state),
        waiting_for=run.waiting_for,
        counts=counted(tallies),
        reused=reused or 0,
        created_at=run.created_at,
        finished_at=run.finished_at,
    )
