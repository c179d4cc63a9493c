"""What became of a search's deltas, counted over its slots.

A slot that the platform lost is in no count, and cycle 0 has no deltas. What was recorded before hunks were
kept counts as a delta, without hunks.
"""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from contracts.names import SlotState
from gateway.domain.delta_reports import APPLIED, add_counts
from gateway.infra.search_tables import SlotRow
from gateway.schemas.search_document import Document

Place = tuple[int, str]
"""Cycle and proposer: what everything is counted by."""


def delta_failures(session: Session, search_id: str) -> dict[int, dict[str, int]]:
    """By cycle, how many proposals became no source, by code, the most frequent first."""
    found: dict[int, list[dict[str, int]]] = {}
    for cycle, _, code, count, _ in _tally(session, search_id):
        if code != APPLIED:
            found.setdefault(cycle, []).append({code: count})
    return {cycle: add_counts(counts) for cycle, counts in found.items()}


def diagnostics_in(session: Session, search_id: str) -> Document:
    """Flat records, in the caller's transaction: proposals, delta_failures, hunks and repairs."""
    tallied = _tally(session, search_id)
    hunks, repairs = _hunks_and_repairs(session, search_id)
    return {
        "search_id": search_id,
        "proposals": _proposals(tallied),
        "delta_failures": [
            {"cycle": cycle, "proposer": proposer, "code": code, "count": count}
            for cycle, proposer, code, count, _ in tallied
            if code != APPLIED
        ],
        "hunks": [
            {
                **_place(place),
                "status": key.partition("/")[0],
                "reason": key.partition("/")[2],
                "count": count,
            }
            for place, counts in hunks.items()
            for key, count in counts.items()
        ],
        "repairs": [
            {**_place(place), "kind": kind, "count": count}
            for place, counts in repairs.items()
            for kind, count in counts.items()
        ],
    }


def _proposals(tallied: list[tuple[int, str, str, int, float | None]]) -> list[Document]:
    """Answers and applied deltas of each proposer in each cycle, and how sure the applier was of these."""
    found: dict[Place, Document] = {}
    for cycle, proposer, code, count, confidence in tallied:
        record = found.setdefault(
            (cycle, proposer),
            {**_place((cycle, proposer)), "answered": 0, "applied": 0, "mean_confidence": None},
        )
        record["answered"] += count
        if code == APPLIED:
            record["applied"], record["mean_confidence"] = count, confidence
    return list(found.values())


def _place(place: Place) -> Document:
    return {"cycle": place[0], "proposer": place[1]}


def _read_deltas(search_id: str) -> ColumnElement[bool]:
    return and_(
        SlotRow.search_id == search_id, SlotRow.delta_code.is_not(None), SlotRow.state != SlotState.LOST
    )


def _tally(session: Session, search_id: str) -> list[tuple[int, str, str, int, float | None]]:
    """(cycle, proposer, code, count, mean confidence), in this order."""
    keys = (SlotRow.cycle, SlotRow.proposer, SlotRow.delta_code)
    rows = session.execute(
        select(*keys, func.count(), func.avg(SlotRow.delta_confidence))
        .where(_read_deltas(search_id))
        .group_by(*keys)
        .order_by(*keys)
    ).all()
    return [(row[0], row[1] or "", row[2] or "", row[3], row[4]) for row in rows]


def _hunks_and_repairs(
    session: Session, search_id: str
) -> tuple[Mapping[Place, dict[str, int]], Mapping[Place, dict[str, int]]]:
    rows = session.execute(
        select(SlotRow.cycle, SlotRow.proposer, SlotRow.delta_counts)
        .where(_read_deltas(search_id))
        .order_by(SlotRow.cycle, SlotRow.proposer)
    ).all()
    places: dict[Place, list[dict[str, dict[str, int]]]] = {}
    for cycle, proposer, counts in rows:
        places.setdefault((cycle, proposer or ""), []).append(counts or {})
    return (
        {place: add_counts(one.get("hunks", {}) for one in counts) for place, counts in places.items()},
        {place: add_counts(one.get("repairs", {}) for one in counts) for place, counts in places.items()},
    )
