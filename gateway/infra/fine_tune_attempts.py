"""Attempts at long fine-tunes: claimed under a lease, kept alive with what is new, reported, swept.

The same rules as for evaluations (`attempt_queue`). The job's row is locked first and guards its attempts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from contracts.fine_tune_attempts import ClaimedFineTune, FineTuneOutcome, TrainingNews
from contracts.fine_tuning import FineTuneFailure, FineTuneState
from contracts.names import AttemptState
from gateway.domain.fine_tuning import retry_delay
from gateway.domain.lifecycle import MAX_TRIES, RETRY_DELAYS_SECONDS
from gateway.infra.attempt_leases import begin_lease, is_held_by, is_token, issued_token
from gateway.infra.attempt_queue import CLOCK_SLACK, LONGEST_WAIT, AttemptNotClaimable, LeaseLost
from gateway.infra.database import Database, now_in
from gateway.infra.events import append_event
from gateway.infra.fine_tune_attempt_rows import enqueue_attempt, withdraw_attempts
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow, TrainingAgentRow
from gateway.infra.fine_tune_journal import follow_progress, plan_retry
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import end_fine_tune, fine_tune_topic

_HOSTS_LOST = FineTuneFailure(
    "host_lost",
    f"{MAX_TRIES} hosts that trained it went silent, one after the other.",
    "See the logs of the agents that trained it; where they run out of memory, choose smaller settings.",
    retryable=False,
)


class AdapterNotDelivered(Exception):
    """A success was reported whose adapter has not come."""


@dataclass(frozen=True)
class HeldJob:
    """The job of an attempt, for whom has its lease."""

    job_id: str
    tenant: str
    fence: int
    parent_adapter: str | None


class FineTuneAttempts:
    """The life of an attempt from claim to report. Thread-safe."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self.lease_seconds = lease_seconds
        self._lease = timedelta(seconds=lease_seconds)

    def claim(self, attempt_id: str, agent_id: str, key: str = "") -> ClaimedFineTune:
        """Give the attempt to the agent under a lease, with its own token. Raises AttemptNotClaimable.

        A claim repeated with its `key` after its answer was lost on the way is granted again.
        """
        token = issued_token(attempt_id, key)
        with self._database.write() as session:
            attempt, job = _locked_pair(session, attempt_id) or (None, None)
            if attempt is None or job is None or _is_over(job):
                raise AttemptNotClaimable(attempt_id)
            if attempt.state == AttemptState.QUEUED:
                begin_lease(attempt, agent_id, token, now_in(session), self._lease)
                host = session.get(TrainingAgentRow, agent_id)
                attempt.gpus = 0 if host is None else host.host.get("gpus", 0)
                job.waiting_for = None
                told = {"agent": agent_id, "attempt": attempt.fence}
                append_event(session, fine_tune_topic(job.id), "claimed", told)
            elif not is_held_by(attempt, agent_id, token):
                raise AttemptNotClaimable(attempt_id)
            return ClaimedFineTune(
                attempt.id, job.id, attempt.fence, job.parent_adapter, token, self._lease.total_seconds()
            )

    def has_claimed(self, attempt_id: str, agent_id: str, key: str) -> bool:
        """Whether the agent holds the attempt by a claim with that key."""
        with self._database.read() as session:
            attempt = session.get(FineTuneAttemptRow, attempt_id)
            return attempt is not None and is_held_by(attempt, agent_id, issued_token(attempt_id, key))

    def heartbeat(self, attempt_id: str, token: str, news: TrainingNews) -> tuple[bool, int]:
        """Renew the lease and write down what is new; whether the job was cancelled, and what was seen.

        Raises LeaseLost.
        """
        with self._database.write() as session:
            attempt, job = _owned_pair(session, attempt_id, token)
            if attempt.state == AttemptState.CANCELLED or _is_over(job):
                return True, job.events_seen
            if attempt.state != AttemptState.LEASED:
                raise LeaseLost(attempt_id)
            attempt.lease_expires_at = now_in(session) + self._lease
            _tell(session, attempt, job, news)
            return False, job.events_seen

    def held(self, attempt_id: str, token: str) -> HeldJob:
        """What whoever has the lease may be given. Raises LeaseLost."""
        with self._database.read() as session:
            attempt = session.get(FineTuneAttemptRow, attempt_id)
            job = None if attempt is None else session.get(FineTuneRow, attempt.job_id)
            if attempt is None or job is None or _is_over(job) or not is_token(attempt, token):
                raise LeaseLost(attempt_id)
            if attempt.state != AttemptState.LEASED:
                raise LeaseLost(attempt_id)
            return HeldJob(job.id, job.tenant, attempt.fence, job.parent_adapter)

    def delivered(self, attempt_id: str, token: str, size_bytes: int | None = None) -> None:
        """The attempt's adapter, of so many bytes if known, is with the generator. Raises LeaseLost."""
        with self._database.write() as session:
            attempt, job = _owned_pair(session, attempt_id, token)
            if attempt.state != AttemptState.LEASED:
                raise LeaseLost(attempt_id)
            attempt.is_delivered = True
            job.adapter_bytes = size_bytes

    def report(self, attempt_id: str, token: str, outcome: FineTuneOutcome) -> None:
        """Write down how the attempt ended, and bring the job forward. Raises LeaseLost, AdapterNotDelivered.

        A report repeated after its answer was lost on the way is accepted and changes nothing.
        """
        with self._database.write() as session:
            attempt, job = _owned_pair(session, attempt_id, token)
            if attempt.state == AttemptState.REPORTED:
                return
            if attempt.state != AttemptState.LEASED or _is_over(job):
                raise LeaseLost(attempt_id)
            if outcome.result is not None and not attempt.is_delivered:
                raise AdapterNotDelivered(attempt_id)
            attempt.state = AttemptState.REPORTED
            attempt.finished_at = now_in(session)
            _tell(session, attempt, job, outcome.news)
            _settle(session, job, outcome)

    def release(self, attempt_id: str, token: str) -> None:
        """Take the attempt back from an agent that must stop: it is offered again, and is no loss.

        Raises LeaseLost. Repeated, it changes nothing.
        """
        with self._database.write() as session:
            attempt, job = _owned_pair(session, attempt_id, token)
            if attempt.state == AttemptState.RELEASED:
                return
            if attempt.state != AttemptState.LEASED:
                raise LeaseLost(attempt_id)
            attempt.state = AttemptState.RELEASED
            attempt.finished_at = now_in(session)
            if not _is_over(job):
                enqueue_attempt(session, job)

    def withdraw(self, job_id: str) -> None:
        """Nobody shall go on with a job that has ended."""
        with self._database.write() as session:
            withdraw_attempts(session, job_id)

    def sweep(self) -> int:
        """Take away the leases that ran out, and offer their jobs again or end them. Gives how many."""
        self._set_right()
        with self._database.read() as session:
            expired = session.scalars(
                select(FineTuneAttemptRow.id)
                .where(
                    FineTuneAttemptRow.state == AttemptState.LEASED,
                    FineTuneAttemptRow.lease_expires_at < now_in(session),
                )
                .order_by(FineTuneAttemptRow.lease_expires_at)
            ).all()
        return sum(self._take_away(attempt_id) for attempt_id in expired)

    def extend_leases(self) -> None:
        """At start: agents could not renew while no gateway was there, so every lease begins anew."""
        leased = FineTuneAttemptRow.state == AttemptState.LEASED
        with self._database.read() as session:
            if session.scalar(select(FineTuneAttemptRow.id).where(leased).limit(1)) is None:
                return
        with self._database.write() as session:
            session.execute(
                update(FineTuneAttemptRow)
                .where(leased)
                .values(lease_expires_at=now_in(session) + self._lease)
            )

    def _take_away(self, attempt_id: str) -> bool:
        """Whether it was this call that took an expired lease away."""
        with self._database.write() as session:
            attempt, job = _locked_pair(session, attempt_id) or (None, None)
            now = now_in(session)
            if attempt is None or job is None or not _has_expired(attempt, now):
                return False
            attempt.state = AttemptState.LOST
            attempt.finished_at = now
            if _is_over(job):
                return True
            lost = AttemptState.LOST
            losses = session.scalar(
                select(func.count()).where(
                    FineTuneAttemptRow.job_id == job.id, FineTuneAttemptRow.state == lost
                )
            )
            append_event(
                session,
                fine_tune_topic(job.id),
                "host_lost",
                {"agent": attempt.agent_id, "attempt": attempt.fence},
            )
            if (losses or 0) >= MAX_TRIES:
                end_fine_tune(session, job, FineTuneState.FAILED, failure=_HOSTS_LOST)
            else:
                enqueue_attempt(session, job, RETRY_DELAYS_SECONDS[(losses or 1) - 1])
            return True

    def _set_right(self) -> None:
        """After the clock was set back, bring moments nearer that now lie further off than they ever may."""
        with self._database.read() as session:
            now = now_in(session)
            leased = and_(
                FineTuneAttemptRow.state == AttemptState.LEASED,
                FineTuneAttemptRow.lease_expires_at > now + self._lease + CLOCK_SLACK,
            )
            waiting = and_(
                FineTuneAttemptRow.state == AttemptState.QUEUED,
                FineTuneAttemptRow.available_at > now + LONGEST_WAIT,
            )
            if session.scalar(select(FineTuneAttemptRow.id).where(or_(leased, waiting)).limit(1)) is None:
                return
        with self._database.write() as session:
            session.execute(
                update(FineTuneAttemptRow).where(leased).values(lease_expires_at=now + self._lease)
            )
            session.execute(update(FineTuneAttemptRow).where(waiting).values(available_at=now))


def _settle(session: Session, job: FineTuneRow, outcome: FineTuneOutcome) -> None:
    if outcome.result is not None:
        end_fine_tune(session, job, FineTuneState.SUCCEEDED, result=outcome.result)
        return
    delay = retry_delay(outcome.failure, job.retries)
    if outcome.failure is None or delay is None:
        end_fine_tune(session, job, FineTuneState.FAILED, failure=outcome.failure)
    else:
        plan_retry(session, job, outcome.failure, delay)


def _tell(session: Session, attempt: FineTuneAttemptRow, job: FineTuneRow, news: TrainingNews) -> None:
    if news.status is None:
        return
    if not attempt.has_begun:
        # Another host, or one that begins anew, counts its events otherwise than the one before.
        attempt.has_begun = True
        job.events_seen = news.begins_after
    follow_progress(session, job, news.status, news.events)


def _is_over(job: FineTuneRow) -> bool:
    return FineTuneState(job.state).is_terminal


def _locked_pair(session: Session, attempt_id: str) -> tuple[FineTuneAttemptRow, FineTuneRow] | None:
    """An attempt and its job. The job's lock comes first and guards both."""
    job_id = session.scalar(select(FineTuneAttemptRow.job_id).where(FineTuneAttemptRow.id == attempt_id))
    job = None if job_id is None else session.get(FineTuneRow, job_id, with_for_update=True)
    attempt = None if job is None else session.get(FineTuneAttemptRow, attempt_id)
    return None if job is None or attempt is None else (attempt, job)


def _owned_pair(session: Session, attempt_id: str, token: str) -> tuple[FineTuneAttemptRow, FineTuneRow]:
    pair = _locked_pair(session, attempt_id)
    if pair is None or not is_token(pair[0], token):
        raise LeaseLost(attempt_id)
    return pair


def _has_expired(attempt: FineTuneAttemptRow, now: datetime) -> bool:
    return (
        attempt.state == AttemptState.LEASED
        and attempt.lease_expires_at is not None
        and attempt.lease_expires_at < now
    )
