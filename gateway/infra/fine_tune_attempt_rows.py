"""Rows of attempts at fine-tunes: how one is queued, and how all of a job are withdrawn."""

from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from contracts.names import AttemptState
from gateway.infra.database import now_in
from gateway.infra.evaluation_transitions import QUEUE_TOPIC
from gateway.infra.events import signal_after_commit
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.identifiers import new_id

_OPEN = (AttemptState.QUEUED.value, AttemptState.LEASED.value)


def enqueue_attempt(session: Session, job: FineTuneRow, seconds: float = 0.0) -> None:
    """Offer a job to hosts in so many seconds, in the transaction that lets it go on."""
    last = session.scalar(
        select(func.max(FineTuneAttemptRow.fence)).where(FineTuneAttemptRow.job_id == job.id)
    )
    now = now_in(session)
    session.add(
        FineTuneAttemptRow(
            id=new_id("fa"),
            job_id=job.id,
            fence=(last or 0) + 1,
            state=AttemptState.QUEUED,
            queue="",
            available_at=now + timedelta(seconds=seconds),
            created_at=now,
        )
    )
    signal_after_commit(session, QUEUE_TOPIC)


def withdraw_attempts(session: Session, job_id: str) -> None:
    """Nobody shall take a job up any more, and whoever has it hears so with the next heartbeat."""
    session.execute(
        update(FineTuneAttemptRow)
        .where(FineTuneAttemptRow.job_id == job_id, FineTuneAttemptRow.state.in_(_OPEN))
        .values(state=AttemptState.CANCELLED, finished_at=now_in(session))
    )
