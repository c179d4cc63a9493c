"""After the last cycle: winner and root baseline, re-measured on fresh seeds and compared.

Resumable like a cycle: the runs are laid out once, and compared once all have ended.
"""

from collections.abc import Sequence

from contracts.names import EvaluationState
from gateway.domain.candidate import Slot
from gateway.domain.finals import FinalPair, choose_winner, compare
from gateway.domain.reruns import as_of
from gateway.domain.search import SearchRecord, final_training_seeds
from gateway.infra.slot_journal import SlotJournal
from gateway.infra.slot_records import FinalRun
from gateway.loop.budget import evaluation_request
from gateway.schemas.search_document import final_document


class Finals:
    """The last stage of one search."""

    def __init__(self, search: SearchRecord, journal: SlotJournal) -> None:
        self._search = search
        self._journal = journal

    def advance(self) -> bool:
        """Submit, or compare and end the search; False while final runs are open. Raises SearchNotRunning."""
        population = as_of(self._journal.slots(), self._search.request.cycles)
        slots = {slot.proposal_id: slot for slot in population}
        winner = choose_winner(slots.values())
        if winner is None:
            self._journal.succeed(None)
            return True
        baseline = slots[winner.root_id]
        runs = self._journal.final_runs()
        if not runs:
            self._submit((winner, baseline))
            runs = self._journal.final_runs()
        if not all(run.evaluation.state.is_terminal for run in runs):
            return False
        comparison = compare(_pairs(runs, winner, baseline))
        self._journal.succeed(final_document(winner, baseline, comparison))
        return True

    def _submit(self, finalists: tuple[Slot, Slot]) -> None:
        request = self._search.request
        sources = {slot.proposal_id: self._journal.source(slot.proposal_id) for slot in finalists}
        self._journal.open_finals(
            [
                (slot.proposal_id, seed, evaluation_request(request, slot, sources[slot.proposal_id], seed))
                for seed in final_training_seeds(request.seed, request.final_seeds)
                for slot in finalists
            ]
        )


def _pairs(runs: Sequence[FinalRun], winner: Slot, baseline: Slot) -> list[FinalPair]:
    accuracies = {(run.proposal_id, run.seed): _sealed_accuracy(run) for run in runs}
    seeds = dict.fromkeys(run.seed for run in runs)
    return [
        FinalPair(seed, accuracies[winner.proposal_id, seed], accuracies[baseline.proposal_id, seed])
        for seed in seeds
    ]


def _sealed_accuracy(run: FinalRun) -> float | None:
    if run.evaluation.state is not EvaluationState.SUCCEEDED or run.evaluation.measurement is None:
        return None
    return run.evaluation.measurement.audit_accuracy
