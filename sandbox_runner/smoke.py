"""A smoke attempt: the same run as any other, on two small batches of training images and one of others.

The candidate cannot tell it from an evaluation of a very small data set. Nothing is scored, so it needs no
secret split; small batches keep it cheap where a network scales its images up.
"""

from dataclasses import replace

from contracts.jobs import AttemptSpec
from contracts.names import Integrity

SMOKE_BATCH = 4
"""Images a batch, at most."""
TRAINED_BATCHES = 2
ANSWERED_IMAGES = 4


def smoke_spec(spec: AttemptSpec, available: int) -> AttemptSpec:
    """What a smoke attempt asks of the guest, where the data set has so many training images.

    A batch that makes no sense is left for the guest to refuse.
    """
    batch = most = max(1, min(SMOKE_BATCH, available // TRAINED_BATCHES))
    hyperparameters = {"batch": most, **spec.hyperparameters}
    given = hyperparameters["batch"]
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        hyperparameters["batch"] = batch = min(given, most)
    return replace(
        spec,
        epochs=1,
        train_images=min(TRAINED_BATCHES * batch, available),
        hyperparameters=hyperparameters,
        integrity=Integrity.STANDARD,
    )
