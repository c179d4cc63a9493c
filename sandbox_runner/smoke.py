"""A smoke attempt: the same run as any other, on two small batches of training images and one of others.

The candidate cannot tell it from an evaluation of a very small data set. Nothing is scored, so it needs no
secret split; small batches keep it cheap where a network scales its images up.
"""

from dataclasses import replace

from contracts.jobs import AttemptSpec
from contracts.names import Integrity

SMOKE_BATCH = 8
"""Images a batch, at most."""
TRAINED_BATCHES = 2
ANSWERED_IMAGES = 8


def smoke_spec(spec: AttemptSpec) -> AttemptSpec:
    """What a smoke attempt asks of the guest. A batch that makes no sense is left for the guest to refuse."""
    hyperparameters, batch = dict(spec.hyperparameters), SMOKE_BATCH
    given = hyperparameters.setdefault("batch", SMOKE_BATCH)
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        hyperparameters["batch"] = batch = min(given, SMOKE_BATCH)
    return replace(
        spec,
        epochs=1,
        train_images=TRAINED_BATCHES * batch,
        hyperparameters=hyperparameters,
        integrity=Integrity.STANDARD,
    )
