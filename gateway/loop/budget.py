"""What one evaluation of a search may cost, and how it is scored: the same for every slot and finalist."""

from gateway.domain.candidate import Slot
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.search import SearchRequest


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
