"""The journal of fine-tuning jobs: every step is one transaction, on disk before the next.

A step is kept only from the state that it starts from, so one that is repeated after a crash, or that meets
a cancellation, changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.fine_tuning import FineTuneEvent, FineTuneFailure, FineTuneState, FineTuneStatus
from contracts.names import SearchState
from gateway.domain.candidate import Slot
from gateway.domain.fine_tuning import ElitePair, FineTuneRecord, GivenPair, retry_sentence
from gateway.infra.database import Database, utc_now
from gateway.infra.events import append_event, signal_after_commit
from gateway.infra.fine_tune_attempt_rows import enqueue_attempt
from gateway.infra.fine_tune_pairs import kept_pairs
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import end_fine_tune, fine_tune_record, fine_tune_topic
from gateway.infra.rerun_rows import reruns_by_slot
from gateway.infra.search_tables import SearchRow, SlotRow
from gateway.infra.slot_rows import search_record, slot_record, storable

PAIRING = "pairing"
"""The phase in which chats are made."""
_PROGRESS = (
    "step",
    "steps",
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_loss_before",
    "best_validation_loss",
    "best_step",
    "tokens_per_second",
    "eta_seconds",
    "trainer_starts",
)
_OWN_WORDS = frozenset({"queued", "succeeded", "failed", "cancelled"})
"""Events of the generator's that the gateway tells in its own words."""


class SearchRemoved(Exception):
    """The search that a job learns from is no longer there."""


class FineTuneJournal:
    """Steps of all jobs that are not settled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading -------------------------------------------------------------------------------

    def unsettled(self, *, submitted: bool) -> list[FineTuneRecord]:
        """All that something is left to do for, oldest first: those that the generator has, or the others."""
        with self._database.read() as session:
            query = select(FineTuneRow).where(
                FineTuneRow.is_settled.is_(False), FineTuneRow.is_submitted.is_(submitted)
            )
            return [fine_tune_record(row) for row in session.scalars(query.order_by(FineTuneRow.id))]

    def is_open(self, job_id: str) -> bool:
        """Whether a job has not ended."""
        with self._database.read() as session:
            return not FineTuneState(session.get_one(FineTuneRow, job_id).state).is_terminal

    def population(self, search_id: str) -> tuple[list[Slot], int, str]:
        """The slots of a search, how many elites it keeps, and its dataset. Raises SearchRemoved."""
        with self._database.read() as session:
            rows = session.scalars(
                select(SlotRow).where(SlotRow.search_id == search_id).order_by(SlotRow.cycle, SlotRow.slot)
            )
            search = session.get(SearchRow, search_id)
            if search is None:
                raise SearchRemoved(search_id)
            request = search_record(search).request
            reruns = reruns_by_slot(session, search_id)
            slots = [slot_record(row, reruns.get(row.proposal_id, ())) for row in rows]
            return slots, request.elites, request.dataset

    def sources(self, pairs: Sequence[ElitePair]) -> dict[str, str]:
        """By proposal id, the sources of both ends of pairs."""
        wanted = {end.proposal_id for pair in pairs for end in (pair.parent, pair.elite)}
        with self._database.read() as session:
            rows = session.execute(
                select(SlotRow.proposal_id, SlotRow.source).where(SlotRow.proposal_id.in_(wanted))
            )
            return {name: source for name, source in rows if source is not None}

    def given_pairs(self, job_id: str) -> Iterator[list[GivenPair]]:
        """The pairs that a job's caller sent, some at a time."""
        return kept_pairs(self._database, job_id)

    # --- steps ---------------------------------------------------------------------------------

    def begin(self, job_id: str) -> None:
        """Its chats are being made."""

        def change(session: Session, row: FineTuneRow) -> None:
            if row.state == FineTuneState.QUEUED:
                row.state = FineTuneState.RUNNING
                row.started_at = utc_now()
                append_event(session, fine_tune_topic(row.id), "state", {"state": row.state})
            row.phase = PAIRING
            row.waiting_for = None

        self._take(job_id, change)

    def made(self, job_id: str, chats: dict[str, Any]) -> None:
        """So many chats were made."""

        def change(session: Session, row: FineTuneRow) -> None:
            row.chats = chats
            append_event(session, fine_tune_topic(row.id), "chats", chats)

        self._take(job_id, change)

    def submitted(self, job_id: str) -> None:
        """The generator has it; one that was cancelled meanwhile has to be cancelled there, too."""
        with self._database.write() as session:
            row = session.get_one(FineTuneRow, job_id, with_for_update=True)
            row.is_submitted = True
            row.waiting_for = None
            signal_after_commit(session, fine_tune_topic(job_id))

    def lent(self, job_id: str, weights_sha256: str | None) -> None:
        """The generator keeps it for a host that trains, to which it is offered from now on."""
        with self._database.write() as session:
            row = session.get_one(FineTuneRow, job_id, with_for_update=True)
            row.is_submitted = row.is_lent = True
            row.weights_sha256 = weights_sha256
            row.waiting_for = None
            if not FineTuneState(row.state).is_terminal:
                enqueue_attempt(session, row)
            signal_after_commit(session, fine_tune_topic(job_id))

    def follow(self, job_id: str, status: FineTuneStatus, events: Sequence[FineTuneEvent]) -> None:
        """Write down how a job stands at the generator, and what has happened there since `events_seen`."""

        self._take(job_id, lambda session, row: follow_progress(session, row, status, events))

    def plan_retry(self, job_id: str, failure: FineTuneFailure, seconds: float) -> None:
        """It has failed at the generator in a way that may pass: it is tried again in so many seconds."""

        self._take(job_id, lambda session, row: plan_retry(session, row, failure, seconds))

    def tried_again(self, job_id: str) -> None:
        """It goes on at the generator; one that is lent is offered to hosts again."""

        def change(session: Session, row: FineTuneRow) -> None:
            row.retry_at = None
            row.waiting_for = None
            signal_after_commit(session, fine_tune_topic(row.id))
            if row.is_lent:
                enqueue_attempt(session, row)

        self._take(job_id, change)

    def end(self, job_id: str, status: FineTuneStatus, adapter_bytes: int | None = None) -> None:
        """It has ended at the generator; `adapter_bytes` where there is an adapter now."""

        def change(session: Session, row: FineTuneRow) -> None:
            row.adapter_bytes = adapter_bytes
            end_fine_tune(session, row, status.state, failure=status.failure, result=status.result)
            row.is_settled = True

        self._take(job_id, change)

    def fail(self, job_id: str, reason: str, message: str, remedy: str) -> None:
        """It ends before the generator could have it, or after it lost it."""
        failure = FineTuneFailure(
            storable(reason, 60), storable(message, 2000), storable(remedy, 1000), False
        )
        self._take(
            job_id, lambda session, row: end_fine_tune(session, row, FineTuneState.FAILED, failure=failure)
        )

    def settle(self, job_id: str) -> None:
        """Nothing is left of a cancelled job anywhere."""
        with self._database.write() as session:
            session.get_one(FineTuneRow, job_id).is_settled = True

    def wait_for(self, job_id: str, reason: str) -> None:
        """Say what a job waits for; nothing is written where it said so before."""
        reason = storable(reason, 500)
        with self._database.read() as session:
            if session.get_one(FineTuneRow, job_id).waiting_for == reason:
                return

        def change(session: Session, row: FineTuneRow) -> None:
            row.waiting_for = reason
            signal_after_commit(session, fine_tune_topic(job_id))

        self._take(job_id, change)

    def cancel_orphans(self) -> None:
        """End the jobs of searches that have ended: nobody would use their adapters."""
        ended = [state.value for state in SearchState if state.is_terminal]
        orphans = (
            select(FineTuneRow)
            .join(SearchRow, SearchRow.id == FineTuneRow.search_id)
            .where(
                FineTuneRow.is_settled.is_(False),
                FineTuneRow.after_cycle.is_not(None),
                FineTuneRow.state.in_([s.value for s in FineTuneState if not s.is_terminal]),
                SearchRow.state.in_(ended),
            )
        )
        with self._database.read() as session:
            if session.scalars(orphans.limit(1)).first() is None:
                return
        with self._database.write() as session:
            for row in session.scalars(orphans.with_for_update(of=FineTuneRow)).all():
                end_fine_tune(session, row, FineTuneState.CANCELLED)

    def _take(self, job_id: str, change: Callable[[Session, FineTuneRow], None]) -> None:
        """Take a step of an open job; of one that has ended nothing changes."""
        with self._database.write() as session:
            row = session.get_one(FineTuneRow, job_id, with_for_update=True)
            if not FineTuneState(row.state).is_terminal:
                change(session, row)


def follow_progress(
    session: Session, row: FineTuneRow, status: FineTuneStatus, events: Sequence[FineTuneEvent]
) -> None:
    """How an open job stands where it is trained, and what is new there, in the caller's transaction."""
    for event in events:
        if event.sequence <= row.events_seen:
            continue
        if event.kind not in _OWN_WORDS:
            pace = _pace(status) if event.kind == "step" else {}
            append_event(session, fine_tune_topic(row.id), event.kind[:40], {**event.data, **pace})
        row.events_seen = event.sequence
    row.phase = status.phase
    row.progress = {name: getattr(status, name) for name in _PROGRESS}
    if status.chats is not None:
        row.chats = {**(row.chats or {}), "measured": asdict(status.chats)}
    row.waiting_for = None
    signal_after_commit(session, fine_tune_topic(row.id))


def plan_retry(session: Session, row: FineTuneRow, failure: FineTuneFailure, seconds: float) -> None:
    """Let an open job that failed rest before its next try, in the caller's transaction."""
    row.retries += 1
    row.retry_at = utc_now() + timedelta(seconds=seconds)
    row.phase = ""
    row.waiting_for = storable(retry_sentence(failure, row.retries), 500)
    news = {"retry": row.retries, "in_seconds": seconds, "failure": asdict(failure)}
    append_event(session, fine_tune_topic(row.id), "retrying", news)
    signal_after_commit(session, fine_tune_topic(row.id))


def _pace(status: FineTuneStatus) -> dict[str, float | None]:
    """How fast a job is, for whoever follows its steps alone."""
    return {"tokens_per_second": status.tokens_per_second, "eta_seconds": status.eta_seconds}
