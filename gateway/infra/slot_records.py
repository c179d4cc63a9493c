"""What is known of the slots of one search: everything that the loop reads, and nothing that it changes.

Each answer is one snapshot. A slot's long texts (source, raw proposal) are read only when asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Select, func, select

from contracts.failures import Failure
from contracts.names import EvaluationState, SlotState
from gateway.domain.candidate import Slot
from gateway.domain.evaluation import EvaluationRecord
from gateway.domain.feedback import TryTexts
from gateway.domain.fine_tuning import FineTuneRecord
from gateway.domain.model_budget import ModelSpending, add_spending
from gateway.domain.rerun import Rerun
from gateway.domain.search import SearchRecord, proposal_id
from gateway.infra.database import Database
from gateway.infra.evaluation_rows import stored_failure
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import fine_tune_record
from gateway.infra.model_calls import diagnoses_of, spending_by_cycle
from gateway.infra.rerun_rows import rerun_record, reruns_by_slot
from gateway.infra.search_tables import CycleRow, FinalRow, RerunRow, SearchRow, SlotRow
from gateway.infra.slot_rows import search_record, slot_record
from gateway.infra.tables import EvaluationRow
from gateway.theory.diversity import Action, Alarm, CycleDiversity, Measure

_TERMINAL = tuple(state.value for state in EvaluationState if state.is_terminal)
_OPEN = (SlotState.PENDING, SlotState.EVALUATING)


@dataclass(frozen=True)
class FinalRun:
    """One re-measurement of a finalist. `evaluation` carries the sealed half."""

    proposal_id: str
    seed: int
    evaluation: EvaluationRecord


class TraceEnd(NamedTuple):
    """How a trace ended; its graph is read by itself."""

    state: EvaluationState
    failure: Failure | None


class SlotRecords:
    """One search, its cycles and slots, as they stand."""

    def __init__(self, database: Database, evaluations: EvaluationStore, search_id: str) -> None:
        self.search_id = search_id
        self._database = database
        self._evaluations = evaluations

    def search(self) -> SearchRecord:
        """The search as it stands."""
        with self._database.read() as session:
            return search_record(session.get_one(SearchRow, self.search_id))

    def slots(self, cycle: int | None = None) -> list[Slot]:
        """The slots of a cycle, or of all, in slot order."""
        with self._database.read() as session:
            query = select(SlotRow).where(SlotRow.search_id == self.search_id)
            if cycle is not None:
                query = query.where(SlotRow.cycle == cycle)
            reruns = reruns_by_slot(session, self.search_id)
            rows = session.scalars(query.order_by(SlotRow.cycle, SlotRow.slot))
            return [slot_record(row, reruns.get(row.proposal_id, ())) for row in rows]

    def source(self, wanted: str) -> str:
        """The architecture source of a slot. Raises LookupError where there is none (yet)."""
        with self._database.read() as session:
            found = session.scalar(select(SlotRow.source).where(SlotRow.proposal_id == wanted))
        if found is None:
            raise LookupError(f"{wanted} has no source")
        return found

    def sources(self, wanted: Sequence[str]) -> dict[str, str]:
        """By proposal id, the architecture sources of those slots that have one."""
        with self._database.read() as session:
            rows = session.execute(
                select(SlotRow.proposal_id, SlotRow.source).where(SlotRow.proposal_id.in_(wanted))
            )
            return {row.proposal_id: row.source for row in rows if row.source is not None}

    def raw_proposal(self, wanted: str) -> str:
        """What the proposer answered for a slot, as it came."""
        with self._database.read() as session:
            return session.scalar(select(SlotRow.raw_proposal).where(SlotRow.proposal_id == wanted)) or ""

    def try_texts(self, wanted: Sequence[str]) -> dict[str, TryTexts]:
        """By proposal id, the long texts of tries."""
        with self._database.read() as session:
            diagnoses = diagnoses_of(session, wanted)
            answers = session.execute(
                select(SlotRow.proposal_id, SlotRow.raw_proposal).where(SlotRow.proposal_id.in_(wanted))
            )
            return {
                row.proposal_id: TryTexts(diagnoses.get(row.proposal_id, ""), row.raw_proposal or "")
                for row in answers
            }

    def spent_before(self, cycle: int, place: int) -> ModelSpending:
        """What language models have taken for the proposals before this place."""
        with self._database.read() as session:
            spent = spending_by_cycle(session, self.search_id, proposal_id(self.search_id, cycle, place))
            return add_spending(list(spent.values()))

    def adapter(self, cycle: int) -> str | None:
        """What the proposals of an open cycle are made with."""
        with self._database.read() as session:
            return session.get_one(CycleRow, (self.search_id, cycle)).adapter

    def diversity_course(self) -> list[CycleDiversity]:
        """How diverse the closed cycles of proposals came out."""
        with self._database.read() as session:
            rows = session.scalars(
                select(CycleRow)
                .where(CycleRow.search_id == self.search_id, CycleRow.cycle > 0)
                .order_by(CycleRow.cycle)
            )
            return [
                CycleDiversity(row.cycle, found["sources"], found["new"], found["mean_distance"])
                for row in rows
                if (found := row.diversity)
            ]

    def alarms(self) -> dict[int, Alarm]:
        """By cycle, the alarms that were acted upon when it had closed."""
        with self._database.read() as session:
            rows = session.scalars(select(CycleRow).where(CycleRow.search_id == self.search_id))
            return {
                row.cycle: Alarm(
                    row.cycle,
                    Measure(found["measure"]),
                    found["value"],
                    found["threshold"],
                    Action(found["action"]),
                )
                for row in rows
                if (found := row.alarm)
            }

    def fine_tunes(self) -> list[FineTuneRecord]:
        """The jobs that the search has asked for, by their cycles."""
        with self._database.read() as session:
            return [fine_tune_record(row) for row in session.scalars(fine_tunes_of(self.search_id))]

    def admitted_count(self) -> int:
        """How many architectures the novelty filter must know."""
        with self._database.read() as session:
            query = select(func.count()).where(SlotRow.search_id == self.search_id, SlotRow.admitted)
            return session.scalar(query) or 0

    def admitted(self) -> list[Slot]:
        """The slots whose architectures the novelty filter must know, in slot order."""
        return [slot for slot in self.slots() if slot.admitted]

    def ended_evaluations(self) -> dict[str, EvaluationRecord]:
        """By proposal id, the evaluations that have ended while their slot still waits for them."""
        with self._database.read() as session:
            waiting = session.execute(
                select(SlotRow.proposal_id, SlotRow.evaluation_id)
                .join(EvaluationRow, EvaluationRow.id == SlotRow.evaluation_id)
                .where(
                    SlotRow.search_id == self.search_id,
                    SlotRow.state == SlotState.EVALUATING,
                    EvaluationRow.state.in_(_TERMINAL),
                )
                .order_by(SlotRow.cycle, SlotRow.slot)
            ).all()
            return {row.proposal_id: self._evaluations.read_in(session, row.evaluation_id) for row in waiting}

    def ended_traces(self) -> dict[str, TraceEnd]:
        """By proposal id, what became of the traces that slots still wait with."""
        with self._database.read() as session:
            rows = session.execute(
                select(SlotRow.proposal_id, EvaluationRow.state, EvaluationRow.failure)
                .join(EvaluationRow, EvaluationRow.id == SlotRow.trace_evaluation_id)
                .where(
                    SlotRow.search_id == self.search_id,
                    SlotRow.state == SlotState.TRACING,
                    EvaluationRow.state.in_(_TERMINAL),
                )
            ).all()
        return {
            row.proposal_id: TraceEnd(EvaluationState(row.state), stored_failure(row.failure)) for row in rows
        }

    def graph(self, slot: Slot) -> str | None:
        """What a slot's network computes; None where it was not traced."""
        if slot.trace_evaluation_id is None:
            return None
        with self._database.read() as session:
            return session.scalar(
                select(EvaluationRow.graph).where(EvaluationRow.id == slot.trace_evaluation_id)
            )

    def open_reruns(self) -> list[tuple[str, Rerun]]:
        """The further runs that have not ended, with their proposal ids, in the order of their cycles."""
        with self._database.read() as session:
            rows = session.scalars(
                select(RerunRow)
                .where(RerunRow.search_id == self.search_id, RerunRow.state.in_(_OPEN))
                .order_by(RerunRow.cycle, RerunRow.proposal_id, RerunRow.purpose, RerunRow.place)
            )
            return [(row.proposal_id, rerun_record(row)) for row in rows]

    def ended_reruns(self) -> list[tuple[str, Rerun, EvaluationRecord]]:
        """The further runs whose evaluations have ended while they still wait for them."""
        with self._database.read() as session:
            waiting = session.scalars(
                select(RerunRow)
                .join(EvaluationRow, EvaluationRow.id == RerunRow.evaluation_id)
                .where(
                    RerunRow.search_id == self.search_id,
                    RerunRow.state == SlotState.EVALUATING,
                    EvaluationRow.state.in_(_TERMINAL),
                )
                .order_by(RerunRow.proposal_id, RerunRow.purpose, RerunRow.place)
            ).all()
            return [
                (
                    row.proposal_id,
                    rerun_record(row),
                    self._evaluations.read_in(session, row.evaluation_id or ""),
                )
                for row in waiting
            ]

    def final_runs(self) -> list[FinalRun]:
        """The finals in the order of their seeds; empty until they are opened."""
        with self._database.read() as session:
            rows = session.scalars(
                select(FinalRow).where(FinalRow.search_id == self.search_id).order_by(FinalRow.place)
            ).all()
            return [
                FinalRun(row.proposal_id, row.seed, self._evaluations.read_in(session, row.evaluation_id))
                for row in rows
            ]


def fine_tunes_of(search_id: str) -> Select[FineTuneRow]:
    """The query for the jobs that a search has asked for, by their cycles."""
    query = select(FineTuneRow).where(
        FineTuneRow.search_id == search_id, FineTuneRow.after_cycle.is_not(None)
    )
    return query.order_by(FineTuneRow.after_cycle)
