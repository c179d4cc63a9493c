"""The conductor's journal: every step of a slot is one transaction, with its event, on disk before the next.

A step is kept only while its search is running, and only from the state that it starts from. So a step
that is repeated after a crash changes nothing, and a cancelled search takes no further step. Only the
conductor's thread of a search calls the journal; people's requests go through `search_store`, and what an
outside agent proposes through `slot_proposals`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.names import SearchState, SlotState
from contracts.proposals import ModelCall, Proposal
from contracts.source_rules import candidate_id
from gateway.domain.candidate import Slot, SlotFailure
from gateway.domain.delta_reports import APPLIED, DeltaReport
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.fine_tuning import FineTuneRecord, FineTuneRequest
from gateway.domain.judging import Verdict
from gateway.domain.model_budget import BudgetStop
from gateway.domain.novelty import NOTHING_LIKE_IT, ScreenedSlot
from gateway.domain.search import PauseReason, proposal_id
from gateway.infra.database import Database, now_in
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import append_event
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import add_fine_tune, fine_tune_record
from gateway.infra.model_calls import write_calls
from gateway.infra.search_progress import cycle_documents
from gateway.infra.search_store import end_search, pause_search, search_topic
from gateway.infra.search_tables import CycleRow, FinalRow, SearchRow, SlotRow
from gateway.infra.slot_proposals import keep_proposal, log_slot
from gateway.infra.slot_records import SlotRecords, fine_tunes_of
from gateway.infra.slot_rows import (
    slot_record,
    storable,
    write_end,
    write_report,
    write_screened,
    write_verdict,
)
from gateway.infra.tenant_storage import add_stored
from gateway.schemas.search_document import Document
from gateway.theory.diversity import Alarm

HasRoom = Callable[[Session, str], bool]


def _without_limit(_session: Session, _tenant: str) -> bool:
    return True


def _never_full(_tenant: str) -> None:
    pass


class SearchNotRunning(Exception):
    """The search was paused, cancelled or ended: take no further step."""


class SlotJournal(SlotRecords):
    """Steps of one search. Every step raises SearchNotRunning unless the search is running."""

    def __init__(
        self,
        database: Database,
        evaluations: EvaluationStore,
        search_id: str,
        has_room: HasRoom = _without_limit,
        require_not_full: Callable[[str], None] = _never_full,
    ) -> None:
        """`has_room` says, in the submitting transaction, whether the tenant's queue takes one more.

        `require_not_full` raises QuotaExceeded where a tenant may store nothing more.
        """
        super().__init__(database, evaluations, search_id)
        self._has_room = has_room
        self._require_not_full = require_not_full

    def require_running(self) -> None:
        """Raise SearchNotRunning where no step could be taken now."""
        state = self.search().state
        if state is not SearchState.RUNNING:
            raise SearchNotRunning(state.value)

    def require_room_to_store(self, tenant: str) -> None:
        """Before anybody is asked to propose for this tenant of the search. Raises QuotaExceeded."""
        self._require_not_full(tenant)

    # --- steps of the search -----------------------------------------------------------------------

    def start(self) -> None:
        """Queued becomes running. Raises SearchNotRunning when it is neither."""
        with self._database.write() as session:
            row = session.get_one(SearchRow, self.search_id, with_for_update=True)
            if row.state == SearchState.QUEUED:
                row.state = SearchState.RUNNING
                row.started_at = row.started_at or now_in(session)
                append_event(session, search_topic(row.id), "state", {"state": row.state})
            elif row.state != SearchState.RUNNING:
                raise SearchNotRunning(row.state)

    def open_cycle(self, cycle: int, parents: Sequence[Slot], adapter: str | None = None) -> None:
        """Lay out the slots of a cycle, each with its parent. A cycle that is open stays as it is."""
        with self._step() as (session, row):
            if session.get(CycleRow, (row.id, cycle)) is not None:
                return
            session.add(CycleRow(search_id=row.id, cycle=cycle, opened_at=now_in(session), adapter=adapter))
            session.add_all(_child_slot(row.id, cycle, place, parent) for place, parent in enumerate(parents))
            row.cycle = cycle
            self._log(session, "cycle_started", {"cycle": cycle, "adapter": adapter})

    def close_cycle(
        self,
        cycle: int,
        elites: Iterable[str],
        diversity: Document | None = None,
        estimates: Mapping[str, float | None] | None = None,
    ) -> None:
        """End a cycle and mark who is elite now, by proposal id. A closed cycle stays as it is.

        `estimates`, by proposal id, are what selection went by where it was not the measured accuracy.
        """
        wanted = set(elites)
        with self._step() as (session, row):
            opened = session.get_one(CycleRow, (row.id, cycle))
            if opened.closed_at is not None:
                return
            opened.closed_at = now_in(session)
            opened.diversity = diversity
            judged = select(SlotRow).where(
                SlotRow.search_id == row.id, SlotRow.elite | SlotRow.proposal_id.in_(wanted)
            )
            for slot in session.scalars(judged):
                slot.elite = slot.proposal_id in wanted
            for name, estimate in (estimates or {}).items():
                session.get_one(SlotRow, name).estimate = estimate
            session.flush()
            (document,) = (found for found in cycle_documents(session, row) if found["cycle"] == cycle)
            self._log(session, "cycle_finished", document | {"elites": sorted(wanted)})

    def act_on(self, alarm: Alarm) -> None:
        """Keep that an alarm of a closed cycle is acted upon. One that is kept stays as it is."""
        with self._step() as (session, row):
            closed = session.get_one(CycleRow, (row.id, alarm.cycle))
            if closed.alarm is None:
                closed.alarm = {
                    "measure": alarm.measure.value,
                    "value": alarm.value,
                    "threshold": alarm.threshold,
                    "action": alarm.action.value,
                }
                self._log(session, "alarm", {"cycle": alarm.cycle, **closed.alarm})

    def open_fine_tune(self, after_cycle: int, request: FineTuneRequest) -> FineTuneRecord:
        """Ask for a job now that a cycle has closed. One that was asked for then stays as it is."""
        with self._step() as (session, row):
            query = fine_tunes_of(row.id).where(FineTuneRow.after_cycle == after_cycle)
            asked = session.scalars(query).first()
            if asked is None:
                asked = add_fine_tune(session, row.tenant, request, after_cycle)
                self._log(session, "fine_tune_started", {"cycle": after_cycle, "fine_tune": asked.id})
            return fine_tune_record(asked)

    def open_finals(self, runs: Sequence[tuple[str, int, EvaluationRequest]]) -> None:
        """Submit the finals, given as (proposal id, seed, request). Finals that are open stay as they are."""
        with self._step() as (session, row):
            for place, (finalist, seed, request) in enumerate(runs):
                if session.get(FinalRow, (row.id, finalist, place)) is not None:
                    continue
                evaluation = self._submit(session, row, request, f"{finalist}-final-{place:03d}")
                session.add(
                    FinalRow(
                        search_id=row.id,
                        proposal_id=finalist,
                        place=place,
                        seed=seed,
                        evaluation_id=evaluation,
                    )
                )
            self._log(session, "finals_started", {"seeds": sorted({seed for _, seed, _ in runs})})

    def succeed(self, final: Document | None) -> None:
        """End the search with its final comparison, or with none when no candidate could win."""
        with self._step() as (session, row):
            end_search(session, row, SearchState.SUCCEEDED, final=final)

    def fail(self, message: str) -> None:
        """End the search with a reason for people."""
        with self._step() as (session, row):
            end_search(session, row, SearchState.FAILED, failure=storable(message, 4000))

    def stop_proposing(self, stop: BudgetStop, cycle: int, place: int) -> None:
        """The budget is spent: what is pending from this place on is skipped, and no further cycle is opened.

        A search that was stopped before keeps its first reason.
        """
        with self._step() as (session, row):
            if row.stopped_by is None:
                row.stopped_by = asdict(stop)
                self._log(session, "state", {"state": row.state, "stopped_by": row.stopped_by})
            pending = select(SlotRow).where(
                SlotRow.search_id == row.id,
                SlotRow.state == SlotState.PENDING,
                SlotRow.proposal_id >= proposal_id(row.id, cycle, place),
            )
            for slot in session.scalars(pending.order_by(SlotRow.cycle, SlotRow.slot)):
                write_end(slot, SlotState.SKIPPED, None)
                log_slot(session, slot)

    def pause(self, reason: PauseReason) -> None:
        """Take no further step until somebody has changed something and resumes the search."""
        with self._step() as (session, row):
            pause_search(session, row, reason)

    def wait_for(self, reason: str | None, code: str | None = None) -> None:
        """Say what the search waits for, or that it waits no longer. Logged when it changes.

        With a `code` it is a wait for what a proposer depends on, which is counted and logged by it.
        """
        with self._step() as (session, row):
            if code is not None:
                waits = dict(row.platform_waits or {})
                row.platform_waits = waits | {storable(code, 60): waits.get(storable(code, 60), 0) + 1}
            if row.waiting_for != (reason := reason and storable(reason, 500)):
                row.waiting_for = reason
                self._log(session, "state", {"state": row.state, "waiting_for": reason, "code": code})

    # --- steps of a slot -----------------------------------------------------------------------------

    def record_proposal(self, slot: Slot, proposal: Proposal) -> Slot:
        """Pending becomes proposed, or refused at once where a proposer found nothing.

        The calls of its model are kept in the same transaction, so that none is counted twice.
        """

        def change(session: Session, row: SlotRow) -> None:
            keep_proposal(session, row, proposal)

        return self._take(slot, SlotState.PENDING, change)

    def record_applied(
        self, slot: Slot, source: str, canonical_delta: str, report: DeltaReport | None = None
    ) -> Slot:
        """Proposed becomes applied; without a `report` nothing is known but that the delta fits."""

        def change(session: Session, row: SlotRow) -> None:
            add_stored(session, session.get_one(SearchRow, row.search_id).tenant, source, canonical_delta)
            write_report(row, report or DeltaReport(APPLIED, confidence=1.0))
            row.source = source
            row.delta = storable(canonical_delta)
            row.candidate_id = candidate_id(source)
            row.state = SlotState.APPLIED

        return self._take(slot, SlotState.PROPOSED, change)

    def trace(self, slot: Slot, request: EvaluationRequest) -> Slot:
        """Applied becomes tracing: its trace and the slot that waits for it are one transaction.

        While its tenant's queue is full the slot stays applied.
        """

        def change(session: Session, row: SlotRow) -> None:
            search = session.get_one(SearchRow, self.search_id)
            if not self._has_room(session, search.tenant):
                return
            row.trace_evaluation_id = self._submit(session, search, request, f"{slot.proposal_id}-trace")
            row.state = SlotState.TRACING

        return self._take(slot, SlotState.APPLIED, change)

    def record_novel(self, slot: Slot, screened: ScreenedSlot = NOTHING_LIKE_IT) -> Slot:
        """A screened slot goes on: from now on the filter must know it. A copy that goes on is marked."""

        def change(_session: Session, row: SlotRow) -> None:
            write_screened(row, screened)
            row.admitted = True
            row.state = SlotState.NOVEL

        return self._take(slot, _before_screening(slot), change)

    def record_refused(self, slot: Slot, failure: SlotFailure, report: DeltaReport) -> Slot:
        """Proposed ends here: no source came of its delta."""

        def change(_session: Session, row: SlotRow) -> None:
            write_end(row, SlotState.REFUSED, failure)
            write_report(row, report)

        return self._take(slot, SlotState.PROPOSED, change)

    def record_duplicate(self, slot: Slot, screened: ScreenedSlot) -> Slot:
        """A screened slot ends here: it is a copy."""

        def change(_session: Session, row: SlotRow) -> None:
            write_end(row, SlotState.DUPLICATE, None)
            write_screened(row, screened)
            row.duplicate_of = None if screened.likeness is None else screened.likeness.proposal_id

        return self._take(slot, _before_screening(slot), change)

    def record_lost(self, slot: Slot, failure: SlotFailure) -> Slot:
        """The slot ends here, before it is evaluated, by the platform's fault."""
        return self._take(slot, slot.state, lambda _session, row: write_end(row, SlotState.LOST, failure))

    def submit(self, slot: Slot, request: EvaluationRequest) -> Slot:
        """Novel becomes evaluating: the evaluation and the slot that waits for it are one transaction.

        While its tenant's queue is full the slot stays novel.
        """

        def change(session: Session, row: SlotRow) -> None:
            search = session.get_one(SearchRow, self.search_id)
            if not self._has_room(session, search.tenant):
                return
            row.evaluation_id = self._submit(session, search, request, slot.proposal_id)
            row.state = SlotState.EVALUATING

        return self._take(slot, SlotState.NOVEL, change)

    def settle(self, slot: Slot, verdict: Verdict) -> Slot:
        """Evaluating ends with its verdict."""
        return self._take(slot, SlotState.EVALUATING, lambda _session, row: write_verdict(row, verdict))

    def count_errors(self, slots: Sequence[Slot], calls: Sequence[ModelCall] = ()) -> None:
        """A service failed in a step of these slots; `calls` that told so are kept with the first."""
        with self._step() as (session, _):
            rows = [session.get_one(SlotRow, slot.proposal_id) for slot in slots]
            for row in rows:
                row.step_errors += 1
            if calls and rows:
                write_calls(session, rows[0], calls)

    # --- how ---------------------------------------------------------------------------------------------

    @contextmanager
    def _step(self) -> Iterator[tuple[Session, SearchRow]]:
        with self._database.write() as session:
            row = session.get_one(SearchRow, self.search_id, with_for_update=True)
            if row.state != SearchState.RUNNING:
                raise SearchNotRunning(row.state)
            yield session, row

    def _take(self, slot: Slot, start: SlotState, change: Callable[[Session, SlotRow], None]) -> Slot:
        """Take a step that leads away from `start`; when an earlier try has taken it, nothing changes."""
        with self._step() as (session, _):
            row = session.get_one(SlotRow, slot.proposal_id)
            if row.state == start:
                change(session, row)
                # A step that has to wait is tried again and again, and is no news.
                if row.state != start:
                    log_slot(session, row)
            return slot_record(row)

    def _submit(self, session: Session, row: SearchRow, request: EvaluationRequest, origin_key: str) -> str:
        return self._evaluations.submit(
            session,
            request,
            tenant=row.tenant,
            origin_key=origin_key,
            search_id=row.id,
            split_key=row.split_key,
        )

    def _log(self, session: Session, event_type: str, data: Mapping[str, object]) -> None:
        append_event(session, search_topic(self.search_id), event_type, dict(data))


def _before_screening(slot: Slot) -> SlotState:
    return SlotState.TRACING if slot.state is SlotState.TRACING else SlotState.APPLIED


def _child_slot(search_id: str, cycle: int, place: int, parent: Slot) -> SlotRow:
    return SlotRow(
        proposal_id=proposal_id(search_id, cycle, place),
        search_id=search_id,
        cycle=cycle,
        slot=place,
        state=SlotState.PENDING,
        name=f"c{cycle:03d}-s{place:03d}",
        root_id=parent.root_id,
        family=parent.family,
        parent_id=parent.proposal_id,
        parent_name=parent.name,
        hyperparameters=dict(parent.hyperparameters),
    )
