"""Smoke runs on disk: which networks, how far each is, what came of it. `loop.baseline_smoke` drives them.

Every step is one transaction, and a step that is repeated after a crash changes nothing: an item's evaluation
is found again by its origin key, and a verdict is written once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from contracts.failures import Failure
from contracts.names import EvaluationState
from gateway.domain.baseline_filter import BaselineFilter
from gateway.domain.baseline_smoke import (
    SmokeItem,
    SmokeRunRecord,
    SmokeRunState,
    SmokeState,
    SmokeTally,
    SmokeVerdict,
    counted,
)
from gateway.infra.baseline_catalogue import conditions
from gateway.infra.baseline_tables import BaselineRow, BaselineSmokeRow, SmokeItemRow, SmokeRunRow
from gateway.infra.database import Database, utc_now
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import signal_after_commit
from gateway.infra.identifiers import new_id
from gateway.infra.tables import EvaluationRow

SMOKE_RUNS_TOPIC = "baseline-smoke-runs"
"""Signalled when there is a run to take up, or one was cancelled."""

_FAILURE = TypeAdapter(Failure)
_ENDED = tuple(state.value for state in EvaluationState if state.is_terminal)


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

    # --- people's requests ---------------------------------------------------------------------------

    def create(
        self,
        session: Session,
        tenant: str,
        dataset: str,
        wanted: BaselineFilter,
        names: Sequence[str] | None,
        limit: int | None,
    ) -> SmokeRunRecord:
        """Accept a run over the published networks that the filter and `names` admit.

        Their order is that of their sources' hashes: the first `limit` of it are a fair sample, and part of
        every larger one.
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
            items = [_item(row) for row in rows[:limit]]
        return items, items[-1].place if len(rows) > limit else None

    def count_open(self, tenant: str) -> int:
        """How many runs of a tenant have not ended."""
        with self._database.read() as session:
            query = select(func.count()).where(
                SmokeRunRow.tenant == tenant, SmokeRunRow.state == SmokeRunState.RUNNING
            )
            return session.scalar(query) or 0

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
            _end(session, run, SmokeRunState.CANCELLED)

    # --- the driver's steps --------------------------------------------------------------------------

    def open_runs(self) -> list[tuple[str, str, str]]:
        """(id, tenant, dataset) of all that have not ended, oldest first."""
        with self._database.read() as session:
            query = select(SmokeRunRow).where(SmokeRunRow.state == SmokeRunState.RUNNING)
            return [(r.id, r.tenant, r.dataset) for r in session.scalars(query.order_by(SmokeRunRow.id))]

    def pending(self, run_id: str, limit: int) -> list[SmokeItem]:
        """The next networks of a run that nothing was done for yet."""
        with self._database.read() as session:
            query = select(SmokeItemRow).where(
                SmokeItemRow.run_id == run_id, SmokeItemRow.state == SmokeState.PENDING
            )
            return [_item(row) for row in session.scalars(query.order_by(SmokeItemRow.place).limit(limit))]

    def in_flight(self, run_id: str) -> list[str]:
        """The evaluations of a run whose verdict is not written down yet."""
        with self._database.read() as session:
            query = select(SmokeItemRow.evaluation_id).where(
                SmokeItemRow.run_id == run_id, SmokeItemRow.state == SmokeState.SUBMITTED
            )
            return [found for found in session.scalars(query) if found is not None]

    def ended(self, run_id: str) -> list[tuple[SmokeItem, str]]:
        """The submitted networks of a run whose evaluation (the second value is its id) has ended."""
        with self._database.read() as session:
            rows = session.scalars(
                select(SmokeItemRow)
                .join(EvaluationRow, EvaluationRow.id == SmokeItemRow.evaluation_id)
                .where(
                    SmokeItemRow.run_id == run_id,
                    SmokeItemRow.state == SmokeState.SUBMITTED,
                    EvaluationRow.state.in_(_ENDED),
                )
                .order_by(SmokeItemRow.place)
            )
            return [(_item(row), str(row.evaluation_id)) for row in rows]

    def recorded(
        self, items: Iterable[SmokeItem], dataset: str, environments: set[str]
    ) -> dict[str, SmokeVerdict]:
        """By digest, what is known already of networks on a dataset, in one of these environments."""
        with self._database.read() as session:
            rows = session.scalars(
                select(BaselineSmokeRow).where(
                    BaselineSmokeRow.digest.in_([item.digest for item in items]),
                    BaselineSmokeRow.dataset == dataset,
                    BaselineSmokeRow.environment_digest.in_(environments),
                )
            )
            return {
                row.digest: SmokeVerdict(
                    SmokeState(row.state),
                    None if row.failure is None else _FAILURE.validate_python(row.failure),
                    row.claimed_parameters,
                )
                for row in rows
            }

    def is_pending(self, session: Session, run_id: str, place: int) -> bool:
        """Whether nothing was done for a network yet. The run cannot be cancelled within this transaction."""
        session.get_one(SmokeRunRow, run_id, with_for_update=True)
        item = session.get_one(SmokeItemRow, (run_id, place), populate_existing=True)
        return item.state == SmokeState.PENDING

    def submitted(self, session: Session, run_id: str, place: int, evaluation_id: str) -> None:
        """A network's evaluation was accepted, in the same transaction."""
        session.execute(
            update(SmokeItemRow)
            .where(
                SmokeItemRow.run_id == run_id,
                SmokeItemRow.place == place,
                SmokeItemRow.state == SmokeState.PENDING,
            )
            .values(state=SmokeState.SUBMITTED, evaluation_id=evaluation_id)
        )
        signal_after_commit(session, smoke_run_topic(run_id))

    def judge(
        self,
        run_id: str,
        dataset: str,
        verdicts: Sequence[tuple[SmokeItem, SmokeVerdict]],
        environment_digest: dict[str, str] | None = None,
    ) -> None:
        """Write down what came of networks.

        `environment_digest`, by digest of the network, is where each was tried just now; None: the verdicts
        are from the record.
        """
        with self._database.write() as session:
            for item, verdict in verdicts:
                row = session.get_one(SmokeItemRow, (run_id, item.place))
                if row.state not in {SmokeState.PENDING, SmokeState.SUBMITTED}:
                    continue
                _write_verdict(row, verdict)
                row.reused = environment_digest is None
                digest = (environment_digest or {}).get(item.digest)
                if digest is not None and verdict.state in {SmokeState.PASSED, SmokeState.FAILED}:
                    _keep_record(session, item.digest, dataset, verdict, digest)
            signal_after_commit(session, smoke_run_topic(run_id))

    def wait_for(self, run_id: str, reason: str | None) -> None:
        """Say what the run waits for; nothing is written where it said so before."""
        with self._database.read() as session:
            if session.get_one(SmokeRunRow, run_id).waiting_for == reason:
                return
        with self._database.write() as session:
            session.get_one(SmokeRunRow, run_id).waiting_for = reason
            signal_after_commit(session, smoke_run_topic(run_id))

    def end_if_done(self, run_id: str) -> bool:
        """End a run when nothing of it is left to do."""
        with self._database.write() as session:
            left = select(func.count()).where(
                SmokeItemRow.run_id == run_id,
                SmokeItemRow.state.in_((SmokeState.PENDING, SmokeState.SUBMITTED)),
            )
            run = session.get_one(SmokeRunRow, run_id)
            if session.scalar(left) or SmokeRunState(run.state).is_terminal:
                return False
            _end(session, run, SmokeRunState.SUCCEEDED)
            return True


def _end(session: Session, run: SmokeRunRow, state: SmokeRunState) -> None:
    run.state, run.waiting_for, run.finished_at = state, None, utc_now()
    signal_after_commit(session, smoke_run_topic(run.id))
    signal_after_commit(session, SMOKE_RUNS_TOPIC)


def _own(session: Session, run_id: str, tenant: str, locked: bool = False) -> SmokeRunRow:
    row = session.get(SmokeRunRow, run_id, with_for_update=locked)
    if row is None or row.tenant != tenant:
        raise SmokeRunUnknown(run_id)
    return row


def _write_verdict(row: SmokeItemRow, verdict: SmokeVerdict) -> None:
    row.state = verdict.state
    if verdict.failure is not None:
        row.reason = verdict.failure.reason
        row.phase = verdict.failure.phase or verdict.failure.resource
        row.message = verdict.failure.message


def _keep_record(
    session: Session, digest: str, dataset: str, verdict: SmokeVerdict, environment_digest: str
) -> None:
    if session.get(BaselineRow, digest) is None:
        return  # another import replaced the network meanwhile
    record = session.get(BaselineSmokeRow, (digest, dataset))
    if record is None:
        record = BaselineSmokeRow(digest=digest, dataset=dataset)
        session.add(record)
    record.state = verdict.state
    record.failure = None if verdict.failure is None else asdict(verdict.failure)
    record.claimed_parameters = verdict.claimed_parameters
    record.environment_digest = environment_digest
    record.finished_at = utc_now()


def _item(row: SmokeItemRow) -> SmokeItem:
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
