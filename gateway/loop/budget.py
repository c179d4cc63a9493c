"""What one evaluation of a search may cost, the same for every slot and finalist; and what its models may.

What models have spent is read from the journal before each batch, so that a search that was cut off holds
to the same budget when it goes on.
"""

from gateway.domain.candidate import Slot
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.model_budget import ModelBudget, budget_stop, calls_left
from gateway.domain.search import SearchRequest
from gateway.infra.slot_journal import SlotJournal


def evaluation_request(search: SearchRequest, slot: Slot, source: str, seed: int) -> EvaluationRequest:
    """The evaluation of a slot's source with one training seed.

    Hyperparameters are those of the baseline at the root of the lineage (LEMUR contract): a score then
    speaks of the architecture, and of hyperparameters only where the source itself sets them.
    """
    return EvaluationRequest(
        source=source,
        dataset=search.dataset,
        epochs=search.epochs,
        seeds=(seed,),
        train_images=search.train_images,
        hyperparameters=dict(slot.hyperparameters),
        limits=search.limits,
        threads=search.threads,
        device=search.device,
        integrity=search.integrity,
        minimum_tier=search.minimum_tier,
    )


class BudgetKeeper:
    """Holds a search to its model budget."""

    def __init__(self, journal: SlotJournal) -> None:
        self._journal = journal

    def is_spent(self) -> bool:
        """Whether the search proposes no more; it is stopped here when its models have spent what they may.

        Raises SearchNotRunning.
        """
        search = self._journal.search()
        if search.stopped_by is not None:
            return True
        budget = search.request.model_budget
        stop = None if budget == ModelBudget() else budget_stop(budget, self._journal.spent())
        if stop is not None:
            self._journal.stop_proposing(stop)
        return stop is not None

    def room(self, slots: int) -> int:
        """Of so many slots, for how many there is a call left; at least one before the budget is spent."""
        budget = self._journal.search().request.model_budget
        left = None if budget.max_calls is None else calls_left(budget, self._journal.spent())
        return slots if left is None else max(1, min(slots, left))
