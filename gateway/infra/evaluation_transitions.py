"""The only places where an evaluation changes state, shared by the store and the queue.

Every function works in the caller's writing transaction on a locked evaluation row, so that of two
racing changes (a report and a cancellation, say) the second sees the first and yields.
"""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.names import AttemptState, EvaluationState
from gateway.domain.lifecycle import Standing, standing
from gateway.infra.database import now_in
from gateway.infra.evaluation_rows import attempt_facts, document_of, trace_columns
from gateway.infra.events import append_event, signal_after_commit
from gateway.infra.identifiers import new_id
from gateway.infra.journalled_keys import shuffle_key
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tallies import note_end

QUEUE_TOPIC = "queue"
"""Signalled when attempts become available."""


def evaluation_topic(evaluation_id: str) -> str:
    """Where an evaluation's events go."""
    return f"evaluation:{evaluation_id}"


def search_evaluations_topic(search_id: str) -> str:
    """Signalled, without an event, whenever an evaluation of the search has finished."""
    return f"search-evaluations:{search_id}"


def locked_evaluation(session: Session, evaluation_id: str) -> EvaluationRow | None:
    """The row, locked until the transaction ends."""
    return session.scalar(select(EvaluationRow).where(EvaluationRow.id == evaluation_id).with_for_update())


def enqueue_attempt(
    session: Session, evaluation: EvaluationRow, seed: int, delay_seconds: float = 0.0
) -> None:
    """Add an attempt with the next fence."""
    now = now_in(session)
    evaluation.attempts.append(
        AttemptRow(
            id=new_id("at"),
            evaluation_id=evaluation.id,
            fence=max((attempt.fence for attempt in evaluation.attempts), default=0) + 1,
            seed=seed,
            state=AttemptState.QUEUED,
            shuffle_key=shuffle_key(session, evaluation.candidate_id, evaluation.dataset, seed),
            flags=[],
            available_at=now + timedelta(seconds=delay_seconds),
            created_at=now,
        )
    )
    session.flush()
    signal_after_commit(session, QUEUE_TOPIC)


def settle(session: Session, evaluation: EvaluationRow) -> None:
    """Bring an evaluation to where its attempts say it stands. Terminal states stay."""
    if EvaluationState(evaluation.state).is_terminal:
        return
    now_standing = standing(
        evaluation.request["seeds"], [attempt_facts(attempt) for attempt in evaluation.attempts]
    )
    for seed, delay in now_standing.retries:
        enqueue_attempt(session, evaluation, seed, delay)
    if now_standing.state.is_terminal:
        _record_result(evaluation, now_standing)
        finish(session, evaluation, now_standing.state)
    elif now_standing.state != evaluation.state:
        evaluation.state = now_standing.state
        if now_standing.state is EvaluationState.RUNNING and evaluation.started_at is None:
            evaluation.started_at = now_in(session)
        append_event(
            session, evaluation_topic(evaluation.id), now_standing.state, {"state": now_standing.state}
        )


def finish(session: Session, evaluation: EvaluationRow, state: EvaluationState) -> None:
    """End an evaluation: once, with its open attempts withdrawn."""
    now = now_in(session)
    evaluation.state = state
    evaluation.finished_at = now
    for attempt in evaluation.attempts:
        if attempt.state in {AttemptState.QUEUED, AttemptState.LEASED}:
            attempt.state = AttemptState.CANCELLED
            attempt.finished_at = now
    note_end(session, evaluation)
    append_event(session, evaluation_topic(evaluation.id), "finished", _finished_data(evaluation))
    if evaluation.search_id is not None:
        signal_after_commit(session, search_evaluations_topic(evaluation.search_id))


def _record_result(evaluation: EvaluationRow, result: Standing) -> None:
    evaluation.measurement = document_of(result.measurement)
    evaluation.smoke = document_of(result.smoke)
    evaluation.trace, evaluation.graph = trace_columns(result.trace)
    evaluation.failure = document_of(result.failure)
    deciding = [attempt for attempt in evaluation.attempts if attempt.isolation is not None]
    if deciding:
        last = deciding[-1]
        evaluation.isolation, evaluation.provenance = last.isolation, last.provenance
    evaluation.flags = sorted({flag for attempt in deciding for flag in attempt.flags})


def _finished_data(evaluation: EvaluationRow) -> dict[str, object]:
    measurement, failure = evaluation.measurement, evaluation.failure
    return {
        "state": evaluation.state,
        "accuracy": measurement["accuracy"] if measurement else None,
        "failure": {"reason": failure["reason"], "message": failure["message"]} if failure else None,
    }
