"""The journal of smoke runs: every step is one transaction, on disk before the next.

A step that is repeated after a crash changes nothing: an item's evaluation is found again by its origin key,
and a verdict is written once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from pydantic import TypeAdapter
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from contracts.failures import Failure
from contracts.names import EvaluationState
from gateway.domain.baseline_smoke import SmokeItem, SmokeRunState, SmokeState, SmokeVerdict
from gateway.infra.baseline_smokes import end_run, smoke_item, smoke_run_topic
from gateway.infra.baseline_tables import BaselineRow, BaselineSmokeRow, SmokeItemRow, SmokeRunRow
from gateway.infra.database import Database, utc_now
from gateway.infra.events import signal_after_commit
from gateway.infra.tables import EvaluationRow

_FAILURE = TypeAdapter(Failure)
_ENDED = tuple(state.value for state in EvaluationState if state.is_terminal)


class SmokeJournal:
    """Steps of all open runs. What takes a `session` joins the caller's writing transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            return [
                smoke_item(row) for row in session.scalars(query.order_by(SmokeItemRow.place).limit(limit))
            ]

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
            return [(smoke_item(row), str(row.evaluation_id)) for row in rows]

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
        _locked(session, run_id)
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
        environments: dict[str, str] | None = None,
    ) -> None:
        """Write down what came of networks.

        `environments`, by digest of the network, is where each was tried just now, as far as that is known;
        None: the verdicts are from the record.
        """
        with self._database.write() as session:
            _locked(session, run_id)
            for item, verdict in verdicts:
                row = session.get_one(SmokeItemRow, (run_id, item.place))
                if row.state not in {SmokeState.PENDING, SmokeState.SUBMITTED}:
                    continue
                _write_verdict(row, verdict)
                row.reused = environments is None
                environment = (environments or {}).get(item.digest)
                if environment is not None and verdict.state in {SmokeState.PASSED, SmokeState.FAILED}:
                    _keep_record(session, item.digest, dataset, verdict, environment)
            signal_after_commit(session, smoke_run_topic(run_id))

    def wait_for(self, run_id: str, reason: str | None) -> None:
        """Say what the run waits for; nothing is written where it said so before."""
        with self._database.read() as session:
            if session.get_one(SmokeRunRow, run_id).waiting_for == reason:
                return
        with self._database.write() as session:
            run = _locked(session, run_id)
            if SmokeRunState(run.state).is_terminal:
                return
            run.waiting_for = reason
            signal_after_commit(session, smoke_run_topic(run_id))

    def end_if_done(self, run_id: str) -> bool:
        """End a run when nothing of it is left to do."""
        with self._database.write() as session:
            run = _locked(session, run_id)
            left = select(func.count()).where(
                SmokeItemRow.run_id == run_id,
                SmokeItemRow.state.in_((SmokeState.PENDING, SmokeState.SUBMITTED)),
            )
            if session.scalar(left) or SmokeRunState(run.state).is_terminal:
                return False
            end_run(session, run, SmokeRunState.SUCCEEDED)
            return True


def _locked(session: Session, run_id: str) -> SmokeRunRow:
    """Of a run that is being cancelled at the same time, what has become of it is seen first."""
    return session.get_one(SmokeRunRow, run_id, with_for_update=True)


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
