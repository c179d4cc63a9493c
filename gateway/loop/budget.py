"""What one evaluation of a search may cost, the same for every slot and finalist; and what its models may.

What models have spent is read from the journal before each batch, so that a search that was cut off holds
to the same budget when it goes on.
"""

from gateway.domain.candidate import Slot
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.model_budget import ModelBudget, budget_stop
from gateway.domain.search import SearchRequest
from gateway.infra.slot_journal import SlotJournal


def evaluation_request(
    search: SearchRequest, slot: Slot, source: str, seed: int, epochs: int | None = None
) -> EvaluationRequest:
    """The evaluation of a slot's source with one training seed, for as many `epochs` as the search's if None.

    Hyperparameters are those of the baseline at the root of the lineage (LEMUR contract): a score then
    speaks of the architecture, and of hyperparameters only where the source itself sets them.
    """
    return EvaluationRequest(
        source=source,
        dataset=search.dataset,
        epochs=epochs or search.epochs,
        seeds=(seed,),
        train_images=search.train_images,
        hyperparameters=dict(slot.hyperparameters),
        limits=search.limits,
        threads=search.threads,
        device=search.device,
        integrity=search.integrity,
        minimum_tier=search.minimum_tier,
        minimum_gpu_memory_bytes=search.minimum_gpu_memory_bytes,
    )


class BudgetKeeper:
    """Holds a search to its model budget."""

    def __init__(self, budget: ModelBudget, journal: SlotJournal) -> None:
        self._budget = budget
        self._journal = journal

    def stops_before(self, cycle: int, slot: int) -> bool:
        """Whether what was spent before this place is enough; then the search is stopped there.

        Raises SearchNotRunning.
        """
        if self._budget == ModelBudget():
            return False
        stop = budget_stop(self._budget, self._journal.spent_before(cycle, slot))
        if stop is not None:
            self._journal.stop_proposing(stop, cycle, slot)
        return stop is not None
