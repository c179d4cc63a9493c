"""What the instruments of the theory and a replay of selection look at, read from a search's rows."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, defer

from contracts.names import EvaluationState, SlotState
from gateway.domain.candidate import Slot
from gateway.domain.judging import is_plausible
from gateway.domain.rerun import Rerun
from gateway.domain.reruns import audits, replicates
from gateway.domain.search import SearchRecord, derive_number
from gateway.infra.candidate_store import ROWS_AT_A_TIME, without_delta
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.rerun_rows import reruns_by_slot
from gateway.infra.search_store import found_search
from gateway.infra.search_tables import ModelCallRow, SearchRow, SlotRow
from gateway.infra.slot_records import SlotRecords
from gateway.infra.slot_rows import search_record, slot_record
from gateway.theory.cross_entropy import LossChange
from gateway.theory.search_instruments import Audit, AuditedScore, RecordedAnswer, RecordedSearch
from gateway.theory.variance_components import Replication

SOURCES_PER_CYCLE = 8
"""Drawn for the diversity of a cycle: 28 pairs."""
SOURCES_IN_ALL = 240
"""In a search of many cycles fewer are drawn from each, but two at the least."""
_PROPOSING = ("proposal", "repair")
_CUT_OFF = ("length", "timeout", "too_long")
"""How an answer ended that is not whole: its length is a limit's, not its own."""


class SearchRecordings:
    """Searches as they are on disk. Every read may raise SearchNotFound."""

    def __init__(self, database: Database, evaluations: EvaluationStore) -> None:
        self._database = database
        self._evaluations = evaluations

    def slot(self, search_id: str, proposal_id: str) -> Slot | None:
        """One slot of a search, or None."""
        with self._database.read() as session:
            row = session.get(SlotRow, proposal_id)
            return None if row is None or row.search_id != search_id else slot_record(row)

    def slots(self, search_id: str, tenant: str | None = None) -> tuple[Slot, ...]:
        """Every slot in slot order, without its delta."""
        with self._database.read() as session:
            found_search(session, search_id, tenant)
            return tuple(_slots(session, search_id))

    def recorded(self, search_id: str, tenant: str | None = None) -> RecordedSearch:
        """All that instruments look at."""
        with self._database.read() as session:
            record = search_record(found_search(session, search_id, tenant))
            slots = tuple(_slots(session, search_id))
            answers = tuple(_answers(session, search_id))
            sources = _sources(session, record, slots)
        records = SlotRecords(self._database, self._evaluations, search_id)
        finals = self.later_runs(search_id) if record.state.is_terminal else {}
        runs = recorded_runs(record, slots, finals)
        return RecordedSearch(
            slots=slots,
            has_ended=record.state.is_terminal,
            answers=answers,
            loss_changes=tuple(
                LossChange(
                    job.after_cycle, job.result.validation_loss_before, job.result.validation_loss_after
                )
                for job in records.fine_tunes()
                if job.result is not None and job.after_cycle is not None
            ),
            sources=sources,
            runs=tuple(runs.values()),
            replication=_replication(slots, finals, runs.values()),
            audit=_audit(record, slots),
        )

    def later_runs(self, search_id: str) -> dict[str, tuple[float, ...]]:
        """By proposal id, the accuracies on the selection half of runs with further seeds: the finals'."""
        found: dict[str, list[float]] = {}
        for run in SlotRecords(self._database, self._evaluations, search_id).final_runs():
            measured = run.evaluation.measurement
            if run.evaluation.state is EvaluationState.SUCCEEDED and measured is not None:
                found.setdefault(run.proposal_id, []).append(measured.accuracy)
        return {proposal_id: tuple(scores) for proposal_id, scores in found.items()}

    def screened_sources(self, search_id: str, tenant: str | None, limit: int) -> dict[str, str]:
        """By proposal id in slot order, at most `limit` of the sources that the novelty filter has judged."""
        with self._database.read() as session:
            found_search(session, search_id, tenant)
            judged = or_(SlotRow.admitted, SlotRow.state == SlotState.DUPLICATE)
            rows = session.execute(
                select(SlotRow.proposal_id, SlotRow.source)
                .where(SlotRow.search_id == search_id, SlotRow.source.is_not(None), judged)
                .order_by(SlotRow.proposal_id)
                .limit(limit)
            )
            return {row.proposal_id: row.source or "" for row in rows}


def split_key_of(session: Session, search_id: str) -> str:
    """What draws the halves of a search's evaluation images."""
    return session.get_one(SearchRow, search_id).split_key


def _slots(session: Session, search_id: str) -> Iterable[Slot]:
    query = (
        select(SlotRow)
        .where(SlotRow.search_id == search_id)
        .options(defer(SlotRow.delta))
        .order_by(SlotRow.cycle, SlotRow.slot)
        .execution_options(yield_per=ROWS_AT_A_TIME)
    )
    reruns = reruns_by_slot(session, search_id)
    return [
        slot_record(without_delta(row), reruns.get(row.proposal_id, ())) for row in session.scalars(query)
    ]


def _answers(session: Session, search_id: str) -> Iterable[RecordedAnswer]:
    """Whole answers whose tokens were counted, in the order in which they came."""
    rows = session.execute(
        select(
            ModelCallRow.proposal_id,
            ModelCallRow.place,
            ModelCallRow.completion_tokens,
            ModelCallRow.finish_reason,
        )
        .where(ModelCallRow.search_id == search_id, ModelCallRow.role.in_(_PROPOSING))
        .order_by(ModelCallRow.proposal_id, ModelCallRow.place)
    ).all()
    last = {row.proposal_id: row.place for row in rows}
    for row in rows:
        if row.completion_tokens and row.finish_reason not in _CUT_OFF:
            yield RecordedAnswer(row.proposal_id, row.completion_tokens, row.place == last[row.proposal_id])


def _sources(session: Session, search: SearchRecord, slots: Iterable[Slot]) -> dict[int, list[str]]:
    """By cycle, the sources of a few proposals, drawn by the search's seed."""
    by_cycle: dict[int, list[Slot]] = {}
    for slot in slots:
        if not slot.is_baseline and slot.candidate_id is not None and slot.state is not SlotState.LOST:
            by_cycle.setdefault(slot.cycle, []).append(slot)
    most = min(SOURCES_PER_CYCLE, max(2, SOURCES_IN_ALL // max(len(by_cycle), 1)))
    drawn = {
        slot.proposal_id: cycle
        for cycle, of_it in by_cycle.items()
        for slot in sorted(
            of_it, key=lambda one: derive_number("diversity", search.request.seed, one.cycle, one.slot)
        )[:most]
    }
    found: dict[int, list[str]] = {}
    for row in session.execute(
        select(SlotRow.proposal_id, SlotRow.source)
        .where(SlotRow.proposal_id.in_(drawn))
        .order_by(SlotRow.proposal_id)
    ):
        found.setdefault(drawn[row.proposal_id], []).append(row.source or "")
    return found


def recorded_runs(
    search: SearchRecord, slots: Iterable[Slot], finals: Mapping[str, tuple[float, ...]]
) -> dict[str, tuple[float, ...]]:
    """By candidate id, the first score and those of further runs as long: replicates, audits, finals.

    What chance explains is left out.
    """
    found: dict[str, tuple[float, ...]] = {}
    for slot in slots:
        if slot.candidate_id is None or slot.score is None or not slot.score.plausible:
            continue
        again = (
            run.accuracy
            for run in (*replicates(slot), *audits(slot))
            if run.epochs == search.request.epochs and _is_sound(run, search)
        )
        known = found.get(slot.candidate_id, (slot.score.accuracy,))
        later = tuple(accuracy for accuracy in again if accuracy is not None)
        found[slot.candidate_id] = known + later + finals.get(slot.proposal_id, ())
    return found


def _is_sound(run: Rerun, search: SearchRecord) -> bool:
    return run.accuracy is not None and is_plausible(run.accuracy, search.classes)


def _replication(
    slots: Iterable[Slot], finals: Mapping[str, object], runs: Iterable[tuple[float, ...]]
) -> Replication | None:
    """How it was decided who was trained again: by scores, unless the random audit alone did."""
    if all(len(scores) == 1 for scores in runs):
        return None
    picked = finals or any(replicates(slot) for slot in slots)
    return Replication.CONTENDERS if picked else Replication.RANDOM


def _audit(search: SearchRecord, slots: Sequence[Slot]) -> Audit:
    plan = search.request.audit_sample
    measured = [slot for slot in slots if not slot.is_baseline and slot.score and slot.score.plausible]
    scores = tuple(
        AuditedScore(slot.cycle, slot.score.accuracy, run.accuracy)
        for slot in measured
        for run in audits(slot)
        if slot.score is not None and run.accuracy is not None and _is_sound(run, search)
    )
    share = sum(slot.elite for slot in measured) / len(measured) if measured else 1.0
    is_longer = plan is not None and (plan.epochs or 0) > search.request.epochs
    return Audit(scores, is_longer, share or 1.0)
