"""Searches on disk: accepted, listed, paused, resumed, cancelled, ended. The slots' steps are `slot_journal`,
what can be asked of candidates is `candidate_store`.

Every change is one transaction with its event. A terminal state is written once and never left.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.jobs import BaselineNetwork
from contracts.names import Integrity, SearchState, SlotState
from contracts.source_rules import candidate_id
from gateway.domain.model_budget import add_spending
from gateway.domain.rerun import add_tallies
from gateway.domain.search import (
    PauseReason,
    SearchRecord,
    SearchRequest,
    count_funnel,
    proposal_id,
    public_split_key,
)
from gateway.infra.database import Database, now_in
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import append_event, signal_after_commit
from gateway.infra.identifiers import new_id
from gateway.infra.journalled_keys import search_split_key
from gateway.infra.model_calls import spending_by_cycle
from gateway.infra.rerun_rows import reruns_of, tally_reruns
from gateway.infra.search_progress import cycle_documents, slot_tally
from gateway.infra.search_tables import SELECTION_SCORE, CycleRow, FinalRow, RerunRow, SearchRow, SlotRow
from gateway.infra.slot_rows import search_record, slot_record, storable, stored_request
from gateway.schemas.search_document import Document, SlotCount, search_document

CONDUCTOR_TOPIC = "conductor"
"""Signalled when there is a search to take up."""


class SearchNotFound(Exception):
    """No such search, or another tenant's."""


class SearchStateConflict(Exception):
    """The search is in a state that the request cannot change."""

    def __init__(self, state: SearchState) -> None:
        super().__init__(f"the search is {state.value}")
        self.state = state


def search_topic(search_id: str) -> str:
    """The event topic of a search."""
    return f"search:{search_id}"


class SearchStore:
    """Searches and what can be asked of them. Reads open their own snapshot."""

    def __init__(self, database: Database, evaluations: EvaluationStore) -> None:
        self._database = database
        self._evaluations = evaluations

    def create(
        self,
        session: Session,
        tenant: str,
        request: SearchRequest,
        baselines: Iterable[BaselineNetwork],
        classes: int | None,
        control_of: str | None = None,
    ) -> str:
        """Accept a search in the caller's transaction, its baselines already as cycle 0. Gives its id.

        `control_of` is the search whose control arm it is.
        """
        if request.integrity is Integrity.STRICT:
            key = search_split_key(session, tenant, request.dataset, request.seed)
        else:
            key = public_split_key(request.dataset, request.seed)
        now = now_in(session)
        row = SearchRow(
            id=new_id("se"),
            tenant=tenant,
            name=request.name,
            state=SearchState.QUEUED,
            request=stored_request(request),
            classes=classes,
            split_key=key,
            cycle=0,
            control_of=control_of,
            created_at=now,
        )
        session.add(row)
        session.flush()
        session.add(CycleRow(search_id=row.id, cycle=0, opened_at=now))
        session.add_all(_baseline_slot(row.id, place, network) for place, network in enumerate(baselines))
        append_event(session, search_topic(row.id), "state", {"state": row.state})
        append_event(session, search_topic(row.id), "cycle_started", {"cycle": 0})
        signal_after_commit(session, CONDUCTOR_TOPIC)
        return row.id

    def read(self, search_id: str, tenant: str | None = None) -> SearchRecord:
        """One search. Raises SearchNotFound; another tenant's search is not found."""
        with self._database.read() as session:
            return search_record(found_search(session, search_id, tenant))

    def unfinished(self) -> list[SearchRecord]:
        """Every search that the conductor has to drive, oldest first."""
        with self._database.read() as session:
            wanted = (SearchState.QUEUED, SearchState.RUNNING)
            rows = session.scalars(
                select(SearchRow).where(SearchRow.state.in_(wanted)).order_by(SearchRow.id)
            )
            return [search_record(row) for row in rows]

    def document(self, search_id: str, tenant: str | None = None) -> Document:
        """A search as JSON. Raises SearchNotFound."""
        with self._database.read() as session:
            return self.document_in(session, search_id, tenant)

    def document_in(self, session: Session, search_id: str, tenant: str | None = None) -> Document:
        """The same, in the caller's transaction."""
        row = found_search(session, search_id, tenant)
        tallied = slot_tally(session, search_id)
        best = session.scalars(
            select(SlotRow)
            .where(SlotRow.search_id == search_id, SlotRow.state == SlotState.JUDGED)
            .where(SlotRow.plausible.is_(True))
            # Estimates and single runs do not compare: who has no estimate yet comes after those that have.
            .order_by(SlotRow.estimate.is_(None), SELECTION_SCORE.desc(), SlotRow.cycle, SlotRow.slot)
            .limit(1)
        ).first()
        proposed: Counter[tuple[SlotState, bool]] = Counter()
        for (cycle, state, elite), count in tallied.items():
            if cycle > 0:
                proposed[state, elite] += count
        return search_document(
            search_record(row),
            count_funnel(proposed),
            SlotCount(
                done=sum(count for (_, state, _), count in tallied.items() if state.is_final),
                laid_out=sum(tallied.values()),
            ),
            None if best is None else slot_record(best, reruns_of(session, best.proposal_id)),
            add_spending(list(spending_by_cycle(session, search_id).values())),
            add_tallies(tally_reruns(session, search_id).values()),
            session.scalar(select(SearchRow.id).where(SearchRow.control_of == search_id).limit(1)),
        )

    def page(self, tenant: str, limit: int, before: str | None) -> tuple[list[Document], str | None]:
        """A tenant's searches, newest first, and the cursor of the next page."""
        with self._database.read() as session:
            query = select(SearchRow.id).where(SearchRow.tenant == tenant).order_by(SearchRow.id.desc())
            if before is not None:
                query = query.where(SearchRow.id < before)
            found = list(session.scalars(query.limit(limit + 1)))
            items = [self.document_in(session, search_id) for search_id in found[:limit]]
            return items, found[limit - 1] if len(found) > limit else None

    def cycles(self, search_id: str, tenant: str | None = None) -> list[Document]:
        """Every opened cycle of a search as JSON. Raises SearchNotFound."""
        with self._database.read() as session:
            return cycle_documents(session, found_search(session, search_id, tenant))

    def pause(self, search_id: str, tenant: str | None = None) -> None:
        """Stop taking steps; evaluations already submitted run on. Raises SearchStateConflict once ended."""
        with self._database.write() as session:
            row = _open(session, search_id, tenant)
            _change(session, row, SearchState.PAUSED)

    def resume(self, search_id: str, tenant: str | None = None) -> None:
        """Take steps again; nothing changes for a search that does. Raises SearchStateConflict once ended."""
        with self._database.write() as session:
            row = _open(session, search_id, tenant)
            if row.state == SearchState.PAUSED:
                _change(session, row, SearchState.QUEUED)
                signal_after_commit(session, CONDUCTOR_TOPIC)

    def cancel(self, search_id: str, tenant: str | None = None) -> None:
        """End a search and its open evaluations. Raises SearchStateConflict when it ended otherwise."""
        with self._database.write() as session:
            row = found_search(session, search_id, tenant, locked=True)
            if row.state == SearchState.CANCELLED:
                return
            if SearchState(row.state).is_terminal:
                raise SearchStateConflict(SearchState(row.state))
            for evaluation_id in _evaluations_of(session, search_id):
                self._evaluations.cancel(session, evaluation_id)
            end_search(session, row, SearchState.CANCELLED)


def end_search(
    session: Session,
    row: SearchRow,
    state: SearchState,
    *,
    failure: str | None = None,
    final: dict[str, Any] | None = None,
) -> None:
    """Write the one terminal state of a search, in the caller's transaction."""
    row.finished_at = now_in(session)
    row.failure = failure
    row.final = final
    _change(session, row, state)
    append_event(session, search_topic(row.id), "finished", {"state": row.state, "failure": failure})


def pause_search(session: Session, row: SearchRow, reason: PauseReason) -> None:
    """Pause a search because somebody has to change something, in the caller's transaction."""
    stored = {
        "code": storable(reason.code, 60),
        "message": storable(reason.message, 2000),
        "remedy": storable(reason.remedy, 1000),
    }
    _change(session, row, SearchState.PAUSED, paused_by=stored)


def _change(
    session: Session, row: SearchRow, state: SearchState, paused_by: dict[str, str] | None = None
) -> None:
    if row.state == state:
        return
    row.state = state
    row.waiting_for = None
    row.paused_by = paused_by
    news: Document = {"state": row.state}
    if paused_by is not None:
        news["paused_by"] = paused_by
    append_event(session, search_topic(row.id), "state", news)


def found_search(session: Session, search_id: str, tenant: str | None, *, locked: bool = False) -> SearchRow:
    """A search's row in the caller's transaction. Raises SearchNotFound; another tenant's is not found."""
    row = session.get(SearchRow, search_id, with_for_update=locked or None)
    if row is None or (tenant is not None and row.tenant != tenant):
        raise SearchNotFound(search_id)
    return row


def _open(session: Session, search_id: str, tenant: str | None) -> SearchRow:
    row = found_search(session, search_id, tenant, locked=True)
    if SearchState(row.state).is_terminal:
        raise SearchStateConflict(SearchState(row.state))
    return row


def _baseline_slot(search_id: str, place: int, network: BaselineNetwork) -> SlotRow:
    name = proposal_id(search_id, 0, place)
    return SlotRow(
        proposal_id=name,
        search_id=search_id,
        cycle=0,
        slot=place,
        state=SlotState.APPLIED,
        name=network.name,
        root_id=name,
        family=network.family,
        hyperparameters=dict(network.hyperparameters),
        summary=network.description,
        source=network.source,
        candidate_id=candidate_id(network.source),
    )


def _evaluations_of(session: Session, search_id: str) -> list[str]:
    of_search = SlotRow.search_id == search_id
    slots = select(SlotRow.evaluation_id).where(of_search, SlotRow.state == SlotState.EVALUATING)
    traces = select(SlotRow.trace_evaluation_id).where(of_search, SlotRow.state == SlotState.TRACING)
    reruns = select(RerunRow.evaluation_id).where(
        RerunRow.search_id == search_id, RerunRow.state == SlotState.EVALUATING
    )
    finals = select(FinalRow.evaluation_id).where(FinalRow.search_id == search_id)
    open_ones = (session.scalars(query) for query in (slots, traces, reruns, finals))
    return [name for names in open_ones for name in names if name is not None]
