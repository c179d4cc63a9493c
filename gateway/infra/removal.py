"""Removes evaluations and searches with all that hangs on them, a small step at a time.

Each step is the caller's own short transaction: other writers come in between, and a step that was cut off
is done again. The row that the rest hangs on goes last, so whoever takes up again finds what is left.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.infra.evaluation_transitions import evaluation_topic
from gateway.infra.events import EventRow
from gateway.infra.search_store import search_topic
from gateway.infra.search_tables import PromptTextRow, SearchRow, SlotRow
from gateway.infra.tables import EvaluationRow

STEP_ROWS = 100


def remove_evaluations(session: Session, ids: Sequence[str]) -> None:
    """Remove evaluations, their attempts, tags and events."""
    remove_events(session, map(evaluation_topic, ids))
    session.execute(delete(EvaluationRow).where(EvaluationRow.id.in_(ids)))


def remove_search_step(session: Session, search_id: str) -> bool:
    """Remove a part of a search; False once nothing of it is left."""
    evaluations = session.scalars(
        select(EvaluationRow.id).where(EvaluationRow.search_id == search_id).limit(STEP_ROWS)
    ).all()
    if evaluations:
        remove_evaluations(session, evaluations)
        return True
    if _remove_some(session, SlotRow.proposal_id, SlotRow.search_id == search_id):
        return True
    of_search = PromptTextRow.search_id == search_id
    texts = session.scalars(select(PromptTextRow.sha256).where(of_search).limit(STEP_ROWS)).all()
    if texts:
        session.execute(delete(PromptTextRow).where(of_search, PromptTextRow.sha256.in_(texts)))
        return True
    remove_events(session, [search_topic(search_id)])
    session.execute(delete(SearchRow).where(SearchRow.id == search_id))
    return False


def remove_events(session: Session, topics: Iterable[str]) -> None:
    """Remove what was told of these topics."""
    session.execute(delete(EventRow).where(EventRow.topic.in_(list(topics))))


def _remove_some(session: Session, key: Any, condition: Any) -> int:
    keys = session.scalars(select(key).where(condition).limit(STEP_ROWS)).all()
    if keys:
        session.execute(delete(key.class_).where(key.in_(keys)))
    return len(keys)
