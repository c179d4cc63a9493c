"""Forgets fine-tunes that nobody has to do with any more: their adapters first, their rows last."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, aliased

from contracts.fine_tuning import FineTuneState
from contracts.names import SearchState
from gateway.infra.database import Database
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import fine_tune_topic
from gateway.infra.removal import remove_events
from gateway.infra.search_tables import CycleRow, SearchRow

_ENDED = tuple(state.value for state in FineTuneState if state.is_terminal)
_OPEN_SEARCH = tuple(state.value for state in SearchState if not state.is_terminal)


def forget_fine_tune(database: Database, before: datetime, forget_elsewhere: Callable[[str], None]) -> bool:
    """Forget one job that ended before the moment; False where there is none.

    Stays whatever a search has learnt or proposes with while that search is kept, and whatever another kept
    adapter or an open job goes on from. `forget_elsewhere` removes the adapter, and is asked again for a job
    whose row is still there. No transaction waits for it.
    """
    with database.write() as session:
        due = _due(session, before)
        if due is None:
            return False
        # From now on nobody can begin with the adapter that is about to go.
        session.get_one(FineTuneRow, due, with_for_update=True).has_adapter = False
    forget_elsewhere(due)
    with database.write() as session:
        remove_events(session, [fine_tune_topic(due)])
        session.execute(delete(FineTuneRow).where(FineTuneRow.id == due))
    return True


def _due(session: Session, before: datetime) -> str | None:
    job, child = FineTuneRow, aliased(FineTuneRow)
    needed_by_child = select(child.id).where(
        child.parent_adapter == job.id, child.has_adapter.is_(True) | child.state.not_in(_ENDED)
    )
    of_kept_search = select(SearchRow.id).where(SearchRow.id == job.search_id, job.after_cycle.is_not(None))
    proposes = select(CycleRow.search_id).where(CycleRow.adapter == job.id)
    ended = select(job.id).where(
        job.state.in_(_ENDED),
        job.is_settled.is_(True),
        job.finished_at < before,
        ~needed_by_child.exists(),
        ~of_kept_search.exists(),
        ~proposes.exists(),
    )
    # What a search was asked to begin with stands in its request until a cycle of it is open.
    asked = session.scalars(select(SearchRow.request).where(SearchRow.state.in_(_OPEN_SEARCH)))
    named = {adapter for request in asked if (adapter := request.get("adapter")) is not None}
    return session.scalar(ended.where(job.id.not_in(named)).order_by(job.finished_at, job.id).limit(1))
