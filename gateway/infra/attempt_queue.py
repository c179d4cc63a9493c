"""The database is the queue: attempts are claimed under a lease, kept alive, and reported.

Which attempt to claim is `attempt_offers`' advice; the claim here is the compare-and-set that binds. A
lease that is not renewed in time is taken away by `sweep`; a report under a stale lease is refused.
"""

from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from contracts.failures import Failure, FailureReason
from contracts.jobs import AttemptOutcome, AttemptSpec, ClaimedAttempt
from contracts.names import AttemptKind, AttemptState, IsolationTier, ScoredOn
from gateway.domain.lifecycle import RETRY_DELAYS_SECONDS
from gateway.domain.outcome_checks import checked_outcome
from gateway.infra.attempt_leases import begin_lease, is_held_by, is_token, issued_token
from gateway.infra.database import Database, now_in
from gateway.infra.evaluation_rows import document_of, stored_request, trace_columns
from gateway.infra.evaluation_transitions import QUEUE_TOPIC, locked_evaluation, settle
from gateway.infra.events import signal_after_commit
from gateway.infra.slot_rows import storable
from gateway.infra.tables import AttemptRow, EvaluationRow

CLOCK_SLACK = timedelta(seconds=5)
"""Clocks are corrected by so much all the time; that is no jump."""
LONGEST_WAIT = timedelta(seconds=max(RETRY_DELAYS_SECONDS)) + CLOCK_SLACK


class LeaseLost(Exception):
    """The attempt is not this caller's any more, or never was: drop it."""


class AttemptNotClaimable(Exception):
    """Another agent has the attempt, or it has ended."""


class AttemptQueue:
    """The life of an attempt from claim to report. Thread-safe."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease = timedelta(seconds=lease_seconds)

    def claim(self, attempt_id: str, agent_id: str, key: str = "") -> ClaimedAttempt:
        """Give the attempt to the agent under a lease, with its own token. Raises AttemptNotClaimable.

        A claim repeated with its `key` after its answer was lost on the way is granted again.
        """
        token = issued_token(attempt_id, key)
        with self._database.write() as session:
            attempt, evaluation = _locked_pair(session, attempt_id) or (None, None)
            if attempt is None or evaluation is None:
                raise AttemptNotClaimable(attempt_id)
            if attempt.state == AttemptState.QUEUED:
                begin_lease(attempt, agent_id, token, now_in(session), self._lease)
                attempt.phase = "starting"
                session.flush()
                settle(session, evaluation)
            elif not is_held_by(attempt, agent_id, token):
                raise AttemptNotClaimable(attempt_id)
            spec = _spec(attempt, evaluation)
        return ClaimedAttempt(spec, token, self._lease.total_seconds())

    def has_claimed(self, attempt_id: str, agent_id: str, key: str) -> bool:
        """Whether the agent holds the attempt by a claim with that key."""
        with self._database.read() as session:
            attempt = session.scalar(select(AttemptRow).where(AttemptRow.id == attempt_id))
            return attempt is not None and is_held_by(attempt, agent_id, issued_token(attempt_id, key))

    def heartbeat(self, attempt_id: str, token: str, phase: str) -> bool:
        """Renew the lease; True when the attempt was cancelled and must be stopped. Raises LeaseLost."""
        with self._database.write() as session:
            attempt, _ = _owned_pair(session, attempt_id, token)
            if attempt.state == AttemptState.CANCELLED:
                return True
            if attempt.state != AttemptState.LEASED:
                raise LeaseLost(attempt_id)
            attempt.lease_expires_at = now_in(session) + self._lease
            attempt.phase = phase[:40]
        return False

    def report(self, attempt_id: str, token: str, outcome: AttemptOutcome) -> None:
        """Store what the runner found and bring the evaluation forward. Raises LeaseLost.

        A report repeated after its answer was lost on the way is accepted and changes nothing.
        """
        with self._database.write() as session:
            attempt, evaluation = _owned_pair(session, attempt_id, token)
            if outcome.attempt_id != attempt_id or outcome.fence != attempt.fence:
                raise LeaseLost(attempt_id)
            if attempt.state == AttemptState.REPORTED:
                return
            if attempt.state != AttemptState.LEASED:
                raise LeaseLost(attempt_id)
            checked = checked_outcome(
                outcome,
                kind=AttemptKind(evaluation.kind),
                scored_on=ScoredOn(evaluation.scored_on),
                minimum_tier=IsolationTier(evaluation.request["minimum_tier"]),
            )
            _store_outcome(attempt, checked, now_in(session))
            session.flush()
            settle(session, evaluation)

    def release(self, attempt_id: str, token: str) -> None:
        """Take the attempt back from an agent that must stop: it is queued again, and is no loss.

        Raises LeaseLost. Repeated, it changes nothing.
        """
        with self._database.write() as session:
            attempt, evaluation = _owned_pair(session, attempt_id, token)
            if attempt.state == AttemptState.RELEASED:
                return
            if attempt.state != AttemptState.LEASED:
                raise LeaseLost(attempt_id)
            attempt.state = AttemptState.RELEASED
            attempt.finished_at = now_in(session)
            session.flush()
            settle(session, evaluation)

    def sweep(self) -> int:
        """Take away the leases that ran out, and queue or end their evaluations. Gives how many."""
        self._set_right()
        with self._database.read() as session:
            expired = session.scalars(
                select(AttemptRow.id)
                .where(AttemptRow.state == AttemptState.LEASED, AttemptRow.lease_expires_at < now_in(session))
                .order_by(AttemptRow.lease_expires_at)
            ).all()
        return sum(self._take_away(attempt_id) for attempt_id in expired)

    def _take_away(self, attempt_id: str) -> bool:
        """Whether it was this call that took an expired lease away."""
        with self._database.write() as session:
            attempt, evaluation = _locked_pair(session, attempt_id) or (None, None)
            now = now_in(session)
            if attempt is None or evaluation is None or not _has_expired(attempt, now):
                return False
            attempt.state = AttemptState.LOST
            attempt.finished_at = now
            attempt.failure = document_of(
                Failure(FailureReason.INFRASTRUCTURE, f"agent {attempt.agent_id} stopped renewing its lease")
            )
            session.flush()
            settle(session, evaluation)
            return True

    def _set_right(self) -> None:
        """After the clock was set back, bring moments nearer that now lie further off than they ever may."""
        with self._database.read() as session:
            now = now_in(session)
            leased = and_(
                AttemptRow.state == AttemptState.LEASED,
                AttemptRow.lease_expires_at > now + self._lease + CLOCK_SLACK,
            )
            waiting = and_(
                AttemptRow.state == AttemptState.QUEUED, AttemptRow.available_at > now + LONGEST_WAIT
            )
            if session.scalar(select(AttemptRow.id).where(or_(leased, waiting)).limit(1)) is None:
                return
        with self._database.write() as session:
            session.execute(update(AttemptRow).where(leased).values(lease_expires_at=now + self._lease))
            session.execute(update(AttemptRow).where(waiting).values(available_at=now))
            signal_after_commit(session, QUEUE_TOPIC)

    def extend_leases(self) -> None:
        """At start: agents could not renew while no gateway was there, so every lease begins anew."""

        def extend(session: Session) -> None:
            session.execute(
                update(AttemptRow)
                .where(AttemptRow.state == AttemptState.LEASED)
                .values(lease_expires_at=now_in(session) + self._lease)
            )

        # It may meet reports at work on the same attempts in another order.
        self._database.change(extend)


def _locked_pair(session: Session, attempt_id: str) -> tuple[AttemptRow, EvaluationRow] | None:
    """An attempt and its evaluation. The evaluation's lock comes first and guards both."""
    evaluation_id = session.scalar(select(AttemptRow.evaluation_id).where(AttemptRow.id == attempt_id))
    evaluation = None if evaluation_id is None else locked_evaluation(session, evaluation_id)
    if evaluation is None:
        return None
    attempt = session.scalar(select(AttemptRow).where(AttemptRow.id == attempt_id))
    return None if attempt is None else (attempt, evaluation)


def _owned_pair(session: Session, attempt_id: str, token: str) -> tuple[AttemptRow, EvaluationRow]:
    pair = _locked_pair(session, attempt_id)
    if pair is None or not is_token(pair[0], token):
        raise LeaseLost(attempt_id)
    return pair


def _spec(attempt: AttemptRow, evaluation: EvaluationRow) -> AttemptSpec:
    request = stored_request(evaluation.request, evaluation.source)
    return AttemptSpec(
        attempt_id=attempt.id,
        evaluation_id=evaluation.id,
        fence=attempt.fence,
        kind=request.kind,
        source=request.source,
        dataset=request.dataset,
        epochs=request.epochs,
        seed=attempt.seed,
        train_images=request.train_images,
        hyperparameters=request.hyperparameters,
        limits=request.limits,
        threads=request.threads,
        device=request.device,
        integrity=request.integrity,
        minimum_tier=request.minimum_tier,
        scored_on=ScoredOn(evaluation.scored_on),
        split_key=evaluation.split_key,
        shuffle_key=attempt.shuffle_key,
        minimum_gpu_memory_bytes=request.minimum_gpu_memory_bytes,
    )


def _store_outcome(attempt: AttemptRow, outcome: AttemptOutcome, now: datetime) -> None:
    attempt.state = AttemptState.REPORTED
    attempt.measurement = document_of(outcome.measurement)
    attempt.smoke = document_of(outcome.smoke)
    attempt.trace, attempt.graph = trace_columns(outcome.trace)
    attempt.failure = document_of(outcome.failure)
    attempt.isolation = document_of(outcome.isolation)
    attempt.provenance = document_of(outcome.provenance)
    attempt.flags = list(outcome.flags)
    attempt.log = storable(outcome.log)
    attempt.phase = "finished"
    attempt.finished_at = now


def _has_expired(attempt: AttemptRow, now: datetime) -> bool:
    return (
        attempt.state == AttemptState.LEASED
        and attempt.lease_expires_at is not None
        and attempt.lease_expires_at < now
    )
