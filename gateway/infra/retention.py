"""Forgets what has had its time: each kind after as many days as the operator says, in small transactions.

A kind without a number is kept for ever. What a step did is on disk with the mark that says so, hence a
gateway that is killed goes on where it stopped, and several never do a step twice.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from contracts.names import SearchState
from gateway.domain.novelty import tenant_scope
from gateway.domain.retention import Retention
from gateway.domain.search import novelty_scope
from gateway.infra.database import Database, now_in
from gateway.infra.events import EventRow
from gateway.infra.fine_tune_retention import forget_fine_tune
from gateway.infra.marks import Mark, move_mark, read_mark
from gateway.infra.removal import STEP_ROWS, remove_evaluations, remove_search_step
from gateway.infra.search_tables import ModelCallRow, PromptTextRow, SearchRow, SlotRow
from gateway.infra.tables import AttemptRow, EvaluationRow

log = logging.getLogger(__name__)

BREATH_SECONDS = 0.02
"""Between two steps, for whoever waits to write."""
_TERMINAL = tuple(state.value for state in SearchState if state.is_terminal)

Step = Callable[[Session, datetime], bool]
"""Forget a little of what is older than the moment; False when there is no more."""


class Forgetting:
    """One round through all kinds.

    `forget_scope` tells the filter to forget what it knew of a search; `forget_job` the generator what it
    keeps of a fine-tune, its adapter included.
    """

    def __init__(
        self,
        database: Database,
        retention: Retention,
        forget_scope: Callable[[str], None],
        forget_job: Callable[[str], None],
    ) -> None:
        self._database = database
        self._forget_scope = forget_scope
        self._forget_job = forget_job
        self._rules: Mapping[str, tuple[float | None, Callable[[datetime], bool]]] = {
            "attempt logs": (retention.attempt_logs, partial(self._step, _forget_logs)),
            "events": (retention.events, partial(self._step, _forget_events)),
            "texts of model calls": (retention.model_texts, partial(self._step, _forget_model_texts)),
            "evaluations": (retention.evaluations, partial(self._step, _forget_evaluations)),
            "searches": (retention.searches, partial(self._step, self._forget_search)),
            # After the searches that kept them.
            "fine-tunes": (retention.fine_tunes, self._forget_fine_tune),
        }

    def run(self, is_stopping: Callable[[], bool]) -> None:
        """Forget all that is due. Raises StorageUnavailable; ServiceUnavailable of filter and generator."""
        with self._database.read() as session:
            # Not this host's clock: one that is ahead would delete for good what has time left.
            now = now_in(session)
        for kind, (days, step) in self._rules.items():
            if days is None:
                continue
            before = now - timedelta(days=days)
            steps = 0
            while not is_stopping() and step(before):
                steps += 1
                time.sleep(BREATH_SECONDS)
            if steps:
                log.info("forgot %s of more than %g days ago, in %d steps", kind, days, steps)

    def _step(self, step: Step, before: datetime) -> bool:
        with self._database.write() as session:
            return step(session, before)

    def _forget_fine_tune(self, before: datetime) -> bool:
        return forget_fine_tune(self._database, before, self._forget_job)

    def _forget_search(self, session: Session, before: datetime) -> bool:
        due = session.scalar(_ended_searches(before).limit(1))
        if due is None:
            return False
        tenant = session.get_one(SearchRow, due).tenant
        if not remove_search_step(session, due):
            self._forget_scope(novelty_scope(due))
            # It is filled again from what is left, once a search compares with it.
            self._forget_scope(tenant_scope(tenant))
        return True


def _forget_logs(session: Session, before: datetime) -> bool:
    row, name = AttemptRow, "retention:attempt_logs"
    due = _next_due(session, name, row.finished_at, row.id, before)
    if due is None:
        return False
    ids, mark = due
    session.execute(update(row).where(row.id.in_(ids), row.log != "").values(log=""))
    move_mark(session, name, mark)
    return True


def _forget_evaluations(session: Session, before: datetime) -> bool:
    row, name = EvaluationRow, "retention:evaluations"
    due = _next_due(session, name, row.finished_at, row.id, before)
    if due is None:
        return False
    ids, mark = due
    own = session.scalars(select(row.id).where(row.id.in_(ids), row.search_id.is_(None))).all()
    remove_evaluations(session, own)
    move_mark(session, name, mark)
    return True


def _forget_events(session: Session, before: datetime) -> bool:
    # Ids grow with time, so the oldest stand first and no index of moments is needed.
    oldest = session.execute(
        select(EventRow.id, EventRow.created_at).order_by(EventRow.id).limit(STEP_ROWS)
    ).all()
    due = [row.id for row in oldest if row.created_at < before]
    if due:
        session.execute(delete(EventRow).where(EventRow.id.in_(due)))
    return len(due) == STEP_ROWS


def _forget_model_texts(session: Session, before: datetime) -> bool:
    name = "retention:model_texts"
    mark = read_mark(session, name, locked=True)
    row = session.execute(
        select(SearchRow.id, SearchRow.finished_at)
        .where(
            SearchRow.state.in_(_TERMINAL),
            SearchRow.finished_at < before,
            _is_after(mark, SearchRow.finished_at, SearchRow.id),
        )
        .order_by(SearchRow.finished_at, SearchRow.id)
        .limit(1)
    ).first()
    if row is None:
        return False
    if not _blank_calls(session, row.id):
        move_mark(session, name, Mark(row.finished_at or before, row.id))
    return True


def _blank_calls(session: Session, search_id: str) -> bool:
    """Empty some calls of a search, then its texts; False once there is none."""
    call, slot, text = ModelCallRow, SlotRow, PromptTextRow
    said = session.scalars(
        select(call.proposal_id)
        .where(call.search_id == search_id, call.answer != "")
        .distinct()
        .limit(STEP_ROWS)
    ).all()
    if said:
        session.execute(update(call).where(call.proposal_id.in_(said)).values(answer="", messages=[]))
        session.execute(update(slot).where(slot.proposal_id.in_(said)).values(raw_proposal=None))
        return True
    of_search = text.search_id == search_id
    texts = session.scalars(select(text.sha256).where(of_search).limit(STEP_ROWS)).all()
    if texts:
        session.execute(delete(text).where(of_search, text.sha256.in_(texts)))
    return bool(texts)


def _ended_searches(before: datetime) -> Select[str]:
    return (
        select(SearchRow.id)
        .where(SearchRow.state.in_(_TERMINAL), SearchRow.finished_at < before)
        .order_by(SearchRow.finished_at, SearchRow.id)
    )


def _next_due(
    session: Session,
    name: str,
    ended: InstrumentedAttribute[datetime | None],
    key: InstrumentedAttribute[str],
    before: datetime,
) -> tuple[list[str], Mark] | None:
    """The ids of the next rows that ended before the moment, and the mark behind them."""
    mark = read_mark(session, name, locked=True)
    rows = session.execute(
        select(key, ended)
        .where(ended.is_not(None), ended < before, _is_after(mark, ended, key))
        .order_by(ended, key)
        .limit(STEP_ROWS)
    ).all()
    if not rows:
        return None
    return [row[0] for row in rows], Mark(rows[-1][1] or before, rows[-1][0])


def _is_after(
    mark: Mark, moment: InstrumentedAttribute[datetime | None], key: InstrumentedAttribute[str]
) -> ColumnElement[bool]:
    return and_(moment >= mark.moment, or_(moment > mark.moment, key > mark.row_id))
