"""How far a search has come: its slots counted, and its cycles as JSON. In the caller's transaction."""

from collections.abc import Mapping

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from contracts.names import SlotState
from gateway.domain.model_budget import ModelSpending
from gateway.domain.rerun import RerunTally
from gateway.domain.search import count_funnel
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.model_calls import spending_by_cycle
from gateway.infra.rerun_rows import tally_reruns
from gateway.infra.search_diagnostics import delta_failures
from gateway.infra.search_tables import CycleRow, SearchRow, SlotRow
from gateway.schemas.search_document import Document, cycle_document


def slot_tally(session: Session, search_id: str) -> dict[tuple[int, SlotState, bool], int]:
    """The slots of a search, counted by cycle, state and whether they are elite."""
    rows = session.execute(
        select(SlotRow.cycle, SlotRow.state, SlotRow.elite, func.count())
        .where(SlotRow.search_id == search_id)
        .group_by(SlotRow.cycle, SlotRow.state, SlotRow.elite)
    )
    return {(cycle, SlotState(state), elite): count for cycle, state, elite, count in rows}


def cycle_documents(session: Session, search: SearchRow) -> list[Document]:
    """Every opened cycle of a search as JSON."""
    tallied = slot_tally(session, search.id)
    scores = {
        cycle: (best, mean)
        for cycle, best, mean in session.execute(
            select(SlotRow.cycle, func.max(SlotRow.accuracy), func.avg(SlotRow.accuracy))
            .where(SlotRow.search_id == search.id)
            .group_by(SlotRow.cycle)
        )
    }
    failures = _failures(session, search.id)
    of_deltas = delta_failures(session, search.id)
    spending = spending_by_cycle(session, search.id)
    reruns = tally_reruns(session, search.id)
    learnt = _fine_tunes(session, search.id)
    opened = session.scalars(select(CycleRow).where(CycleRow.search_id == search.id).order_by(CycleRow.cycle))
    return [
        cycle_document(
            row.cycle,
            "finished" if row.closed_at else search.state,
            count_funnel({key[1:]: count for key, count in tallied.items() if key[0] == row.cycle}),
            reruns.get(row.cycle, RerunTally()),
            *scores.get(row.cycle, (None, None)),
            failures.get(row.cycle, {}),
            of_deltas.get(row.cycle, {}),
            spending.get(row.cycle, ModelSpending()),
            row.diversity,
            row.adapter,
            learnt.get(row.cycle),
            row.alarm,
        )
        for row in opened
    ]


def _failures(session: Session, search_id: str) -> Mapping[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    rows = session.execute(
        select(SlotRow.cycle, SlotRow.failure_reason, func.count())
        .where(and_(SlotRow.search_id == search_id, SlotRow.failure_reason.is_not(None)))
        .group_by(SlotRow.cycle, SlotRow.failure_reason)
        .order_by(SlotRow.failure_reason)
    )
    for cycle, reason, count in rows:
        found.setdefault(cycle, {})[str(reason)] = count
    return found


def _fine_tunes(session: Session, search_id: str) -> dict[int, Document]:
    """By cycle, the job that was asked for when it had closed, and what came of it."""
    rows = session.scalars(
        select(FineTuneRow).where(FineTuneRow.search_id == search_id, FineTuneRow.after_cycle.is_not(None))
    )
    return {
        row.after_cycle: {
            "id": row.id,
            "state": row.state,
            "waiting_for": row.waiting_for,
            "parent_adapter": row.parent_adapter,
            "chats": row.chats,
            "result": row.result,
            "failure": row.failure,
        }
        for row in rows
        if row.after_cycle is not None
    }
