"""What can be asked of a search's candidates: pages, elites, one with its long texts, all in outline."""

from collections.abc import Collection, Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session, defer
from sqlalchemy.orm.attributes import set_committed_value

from contracts.names import SlotState
from gateway.domain.search import SearchRecord
from gateway.infra.database import Database
from gateway.infra.model_calls import calls_of
from gateway.infra.rerun_rows import reruns_by_slot, reruns_of
from gateway.infra.search_diagnostics import diagnostics_in
from gateway.infra.search_store import found_search
from gateway.infra.search_tables import SELECTION_SCORE, SlotRow
from gateway.infra.slot_rows import search_record, slot_record
from gateway.schemas.search_document import Document, candidate_document

ROWS_AT_A_TIME = 500
"""Of a search that is read whole, so many rows are in memory beside what is made of them."""


class CandidateStore:
    """The candidates of searches, as JSON. Every read opens its own snapshot and may raise SearchNotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        search_id: str,
        tenant: str | None = None,
        *,
        cycle: int | None = None,
        state: SlotState | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> tuple[list[Document], str | None]:
        """Candidates as JSON in slot order, and the next cursor. Raises SearchNotFound.

        Without a `limit`: all, with their deltas; of a large search `outline` takes much less memory.
        """
        with self._database.read() as session:
            record = search_record(found_search(session, search_id, tenant))
            query = select(SlotRow).where(SlotRow.search_id == search_id)
            if cycle is not None:
                query = query.where(SlotRow.cycle == cycle)
            if state is not None:
                query = query.where(SlotRow.state == state)
            if after is not None:
                query = query.where(SlotRow.proposal_id > after)
            query = query.order_by(SlotRow.proposal_id)
            rows = list(session.scalars(query if limit is None else query.limit(limit + 1)))
            items = _documents(session, record, rows[:limit])
            has_more = limit is not None and len(rows) > limit
            return items, items[-1]["proposal_id"] if has_more else None

    def elites(self, search_id: str, tenant: str | None = None) -> list[Document]:
        """Who is elite now, as JSON, best first. Raises SearchNotFound."""
        with self._database.read() as session:
            record = search_record(found_search(session, search_id, tenant))
            query = (
                select(SlotRow)
                .where(SlotRow.search_id == search_id, SlotRow.elite)
                .order_by(SELECTION_SCORE.desc(), SlotRow.proposal_id)
            )
            return _documents(session, record, session.scalars(query))

    def outline(self, search_id: str, tenant: str | None = None) -> list[Document]:
        """Every candidate as JSON in slot order, however many, without its delta. Raises SearchNotFound."""
        with self._database.read() as session:
            record = search_record(found_search(session, search_id, tenant))
            query = (
                select(SlotRow)
                .where(SlotRow.search_id == search_id)
                .options(defer(SlotRow.delta))
                .order_by(SlotRow.proposal_id)
                .execution_options(yield_per=ROWS_AT_A_TIME)
            )
            return _documents(session, record, map(without_delta, session.scalars(query)))

    def deltas(self, search_id: str, proposal_ids: Collection[str]) -> dict[str, str | None]:
        """The deltas of some candidates of a search."""
        with self._database.read() as session:
            rows = session.execute(
                select(SlotRow.proposal_id, SlotRow.delta).where(
                    SlotRow.search_id == search_id, SlotRow.proposal_id.in_(proposal_ids)
                )
            )
            return {row.proposal_id: row.delta for row in rows}

    def differences(self, search_id: str, proposal_ids: Collection[str]) -> dict[str, list[str] | None]:
        """The lines in which some copies of a search differ from what they are like."""
        with self._database.read() as session:
            rows = session.execute(
                select(SlotRow.proposal_id, SlotRow.difference).where(
                    SlotRow.search_id == search_id, SlotRow.proposal_id.in_(proposal_ids)
                )
            )
            return {row.proposal_id: row.difference for row in rows}

    def read(self, search_id: str, wanted: str, tenant: str | None = None) -> Document | None:
        """One candidate as JSON with its long texts, or None. Raises SearchNotFound."""
        with self._database.read() as session:
            record = search_record(found_search(session, search_id, tenant))
            row = session.get(SlotRow, wanted)
            if row is None or row.search_id != search_id:
                return None
            slot = slot_record(row, reruns_of(session, wanted))
            document = candidate_document(slot, revealed=record.reveals(wanted))
            return document | {
                "difference": row.difference,
                "delta_report": row.delta_report,
                "source": row.source,
                "raw_proposal": row.raw_proposal,
                "calls": calls_of(session, row),
            }

    def diagnostics(self, search_id: str, tenant: str | None = None) -> Document:
        """What became of a search's deltas, as JSON. Raises SearchNotFound."""
        with self._database.read() as session:
            found_search(session, search_id, tenant)
            return diagnostics_in(session, search_id)


def _documents(session: Session, search: SearchRecord, rows: Iterable[SlotRow]) -> list[Document]:
    reruns = reruns_by_slot(session, search.id)
    return [
        candidate_document(
            slot_record(row, reruns.get(row.proposal_id, ())), revealed=search.reveals(row.proposal_id)
        )
        for row in rows
    ]


def without_delta(row: SlotRow) -> SlotRow:
    """Nobody reads the delta; without this it would be looked up now, row by row."""
    set_committed_value(row, "delta", None)
    return row
