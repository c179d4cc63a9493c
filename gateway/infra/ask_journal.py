"""Leases of outside agents on disk: given, renewed, given back, and ended by the answer that was told.

Every change is one transaction that holds the search's row, so that of two agents one gets a slot. An answer
is written together with the slot's own step: accepted means on disk. Nothing sweeps: a lapsed lease is seen
as such by whoever asks next.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.names import EXTERNAL_PROPOSER, SearchState, SlotState
from contracts.proposals import Proposal
from gateway.domain.ask_tell import (
    AgentAnswer,
    Lease,
    TellVerdict,
    end_of_lease,
    free_slots,
    judge_answer,
    may_keep,
    proposer_name,
)
from gateway.domain.candidate import Slot
from gateway.domain.search import SearchRecord
from gateway.infra.ask_tables import AskLeaseRow
from gateway.infra.database import Database, now_in
from gateway.infra.events import signal_after_commit
from gateway.infra.identifiers import new_id
from gateway.infra.search_store import SearchNotFound, SearchStateConflict, search_topic
from gateway.infra.search_tables import SearchRow, SlotRow
from gateway.infra.slot_proposals import record_told
from gateway.infra.slot_rows import search_record, slot_record

KEPT_LAPSED = 20
"""So many lapsed leases of an open slot are remembered: an agent may ask and give back without end."""


class ProposerNotExternal(Exception):
    """The search has a proposer of its own: there is nothing to ask for."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the proposer is {kind}")
        self.kind = kind


class SearchPaused(Exception):
    """The search is paused, and gives out nothing until it is resumed."""


class TaskUnknown(Exception):
    """No such task in this search, or another tenant's."""


class TaskClosed(Exception):
    """The task can be told or renewed no more. `verdict` is `already_told` or `lease_lost`."""

    def __init__(self, verdict: TellVerdict) -> None:
        super().__init__(verdict.value)
        self.verdict = verdict


class NothingFree(Exception):
    """No slot of the search can be leased now."""


@dataclass(frozen=True)
class OpenSlots:
    """How many slots wait for an answer at this moment, and how many of them nobody holds."""

    search: SearchRecord
    free: int
    held: int


RequireStorage = Callable[[Session, str, int], object]
"""Raises QuotaExceeded unless a tenant may store so many more bytes."""


def _without_limit(_session: Session, _tenant: str, _wanted: int) -> None:
    pass


class AskJournal:
    """What agents did with the slots of searches. `now` is the clock by which leases lapse."""

    def __init__(
        self,
        database: Database,
        now: Callable[[Session], datetime] = now_in,
        require_storage: RequireStorage = _without_limit,
    ) -> None:
        self._database = database
        self._now = now
        self._require_storage = require_storage

    def open_slots(self, search_id: str, tenant: str) -> OpenSlots:
        """What could be leased now. Raises as `lease` does."""
        with self._database.read() as session:
            search = _askable(_found(session, search_id, tenant))
            waiting, free = _open_and_free(session, search, self._now(session))
            return OpenSlots(search, len(free), len(waiting) - len(free))

    def lease(
        self, session: Session, search_id: str, tenant: str, wanted: int, agent: str, seconds: float
    ) -> list[str]:
        """Give an agent the first free slots, at most `wanted`, in the caller's transaction. Gives task ids.

        Raises SearchNotFound, ProposerNotExternal, SearchPaused, SearchStateConflict, NothingFree.
        """
        search = _askable(_found(session, search_id, tenant, locked=True))
        now = self._now(session)
        _, free = _open_and_free(session, search, now)
        if not free:
            raise NothingFree(search_id)
        _forget_old_leases(session, free[:wanted])
        given = [
            AskLeaseRow(
                task_id=new_id("tk"),
                search_id=search_id,
                proposal_id=proposal_id,
                agent=agent,
                lease_seconds=seconds,
                expires_at=end_of_lease(now, seconds),
            )
            for proposal_id in free[:wanted]
        ]
        session.add_all(given)
        return [row.task_id for row in given]

    def given(self, task_ids: Sequence[str]) -> list[tuple[Lease, Slot]]:
        """Tasks as they stand, each with its slot, in slot order."""
        with self._database.read() as session:
            rows = session.execute(
                select(AskLeaseRow, SlotRow)
                .join(SlotRow, SlotRow.proposal_id == AskLeaseRow.proposal_id)
                .where(AskLeaseRow.task_id.in_(task_ids))
                .order_by(SlotRow.proposal_id)
            ).all()
            return [(_lease(lease), slot_record(slot)) for lease, slot in rows]

    def tell(self, search_id: str, tenant: str, task_id: str, answer: AgentAnswer) -> Lease:
        """Record an agent's answer as its slot's proposal; the same answer again changes nothing.

        A paused search takes it, too. Raises SearchNotFound, TaskUnknown, TaskClosed, SearchStateConflict,
        QuotaExceeded.
        """
        with self._database.write() as session:
            search = _found(session, search_id, tenant, locked=True)
            row, slot = _task(session, search_id, task_id)
            now = self._now(session)
            held = _live_leases(session, search_id, now)
            verdict = judge_answer(_lease(row), answer, _is_open(slot), held, now)
            if verdict is TellVerdict.REPEATED:
                return _lease(row)
            _require_unended(search)
            if verdict is not TellVerdict.ACCEPTED:
                raise TaskClosed(verdict)
            self._require_storage(session, tenant, len(answer.text.encode("utf-8", "replace")))
            row.told_at, row.told_digest = now, answer.digest
            proposal = Proposal(
                slot.slot, proposer_name(row.agent), answer.text, answer.summary, form=answer.form
            )
            record_told(session, search_id, row.proposal_id, proposal)
            return _lease(row)

    def renew(self, search_id: str, tenant: str, task_id: str) -> Lease:
        """Extend a lease from now on by its own length. Raises as `tell` does."""
        with self._database.write() as session:
            _require_unended(_found(session, search_id, tenant, locked=True))
            row, slot = _task(session, search_id, task_id)
            now = self._now(session)
            if row.told_at is not None:
                raise TaskClosed(TellVerdict.ALREADY_TOLD)
            if not may_keep(_lease(row), _is_open(slot), _live_leases(session, search_id, now), now):
                raise TaskClosed(TellVerdict.LEASE_LOST)
            row.expires_at = end_of_lease(now, row.lease_seconds)
            return _lease(row)

    def release(self, search_id: str, tenant: str, task_id: str) -> Lease:
        """Give a task back, for others to ask for. One that is over already stays as it is.

        Raises SearchNotFound, TaskUnknown.
        """
        with self._database.write() as session:
            _found(session, search_id, tenant, locked=True)
            row, _ = _task(session, search_id, task_id)
            if row.told_at is None:
                row.expires_at = min(row.expires_at, self._now(session))
                # Those who wait for a slot wait for news of the search.
                signal_after_commit(session, search_topic(search_id))
            return _lease(row)


def _found(session: Session, search_id: str, tenant: str, *, locked: bool = False) -> SearchRow:
    row = session.get(SearchRow, search_id, with_for_update=locked or None)
    if row is None or row.tenant != tenant:
        raise SearchNotFound(search_id)
    return row


def _askable(row: SearchRow) -> SearchRecord:
    search = search_record(row)
    if search.request.proposer.kind != EXTERNAL_PROPOSER:
        raise ProposerNotExternal(search.request.proposer.kind)
    _require_unended(row)
    if search.state is SearchState.PAUSED:
        raise SearchPaused(search.id)
    return search


def _require_unended(row: SearchRow) -> None:
    state = SearchState(row.state)
    if state.is_terminal:
        raise SearchStateConflict(state)


def _open_and_free(session: Session, search: SearchRecord, now: datetime) -> tuple[list[str], list[str]]:
    """The slots that wait for an answer, and those among them that nobody holds, in slot order."""
    waiting = list(
        session.scalars(
            select(SlotRow.proposal_id)
            .where(
                SlotRow.search_id == search.id,
                SlotRow.cycle == search.cycle,
                SlotRow.state == SlotState.PENDING,
            )
            .order_by(SlotRow.slot)
        )
    )
    return waiting, free_slots(waiting, _live_leases(session, search.id, now), now)


def _is_open(slot: SlotRow) -> bool:
    return slot.state == SlotState.PENDING


def _task(session: Session, search_id: str, task_id: str) -> tuple[AskLeaseRow, SlotRow]:
    row = session.get(AskLeaseRow, task_id)
    if row is None or row.search_id != search_id:
        raise TaskUnknown(task_id)
    return row, session.get_one(SlotRow, row.proposal_id)


def _live_leases(session: Session, search_id: str, now: datetime) -> list[Lease]:
    rows = session.scalars(
        select(AskLeaseRow).where(
            AskLeaseRow.search_id == search_id, AskLeaseRow.told_at.is_(None), AskLeaseRow.expires_at > now
        )
    )
    return [_lease(row) for row in rows]


def _forget_old_leases(session: Session, slots: Sequence[str]) -> None:
    """Leave the latest lapsed leases of slots that nobody holds; earlier ones nobody may tell any more."""
    lapsed = session.scalars(
        select(AskLeaseRow)
        .where(AskLeaseRow.proposal_id.in_(slots), AskLeaseRow.told_at.is_(None))
        .order_by(AskLeaseRow.expires_at.desc(), AskLeaseRow.task_id)
    )
    kept: Counter[str] = Counter()
    for row in lapsed:
        kept[row.proposal_id] += 1
        if kept[row.proposal_id] > KEPT_LAPSED:
            session.delete(row)


def _lease(row: AskLeaseRow) -> Lease:
    return Lease(
        task_id=row.task_id,
        search_id=row.search_id,
        proposal_id=row.proposal_id,
        agent=row.agent,
        lease_seconds=row.lease_seconds,
        expires_at=row.expires_at,
        told_at=row.told_at,
        told_digest=row.told_digest,
    )
