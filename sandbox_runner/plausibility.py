"""What makes a result remarkable: words for people, from what the host itself measured. Pure.

A flag changes neither the score nor the state: it says where to look twice. Each is rare for honest networks
by construction; its absence proves nothing (docs/user-guide.md, Flags).
"""

import math
from dataclasses import dataclass

from contracts.measurements import SEALED_HALF_DISAGREES
from sandbox_runner.best_known import best_known
from sandbox_runner.scoring import Score

ACCURACY_ABOVE_BEST_KNOWN = "accuracy_above_best_known"
CPU_ABOVE_ASKED_EPOCHS = "cpu_above_asked_epochs"

BUDGET_HEADROOM = 2.0
"""The best known for so many times the budget is what counts: searches are there to find better networks."""
ERRORS_ABOVE = 4.0
"""Standard errors that an accuracy must lie above the best known: by chance alone once in 30,000."""
HALVES_Z = 3.89
"""Two-sided 0.0001: a search of 1,000 candidates raises the flag by chance in one case out of ten."""

TRAINING_TO_PREDICTION = 3.0
"""A step of training is a forward pass and a backward pass, which costs about twice as much."""
CPU_HEADROOM = 10.0
"""Measured on the baselines: 0.6 to 1.6 of TRAINING_TO_PREDICTION; on a perceptron of 12 million weights in
batches of 32, which mostly pays for its optimizer: 8. Training twenty times over is 12 and more."""
USUAL_SMALL_BATCH = 32
"""Smaller batches cost more for each image, at worst in proportion."""
CPU_CONSTANT_SECONDS = 30.0
"""What a first step and short runs may cost on top."""


@dataclass(frozen=True)
class Observed:
    """What was asked of an attempt that came through, and what the host measured of it."""

    dataset: str
    epochs: int
    train_images: int
    """In each epoch."""
    batch: int | None
    """Images a step where the request says so."""
    score: Score
    predicted_images: int
    training_cpu_seconds: float | None
    """From the guest's BUILT to its TRAINED; None where a GPU does the work and CPU seconds tell nothing."""
    prediction_cpu_seconds: float
    """From TRAINED to the last answer."""


def flags_of(observed: Observed) -> tuple[str, ...]:
    """The flags of an attempt, in a fixed order."""
    checks = {
        ACCURACY_ABOVE_BEST_KNOWN: _above_best_known(observed),
        CPU_ABOVE_ASKED_EPOCHS: _above_asked_epochs(observed),
        SEALED_HALF_DISAGREES: _halves_disagree(observed.score),
    }
    return tuple(flag for flag, raised in checks.items() if raised)


def _above_best_known(observed: Observed) -> bool:
    """Whether a network as good as the best known would hardly score so high on so many images."""
    best = best_known(observed.dataset, BUDGET_HEADROOM * observed.epochs)
    if best is None:
        return False
    error = math.sqrt(best.accuracy * (1 - best.accuracy) / observed.score.evaluated_images)
    return observed.score.accuracy > best.accuracy + ERRORS_ABOVE * error


def _above_asked_epochs(observed: Observed) -> bool:
    """Whether training took far more CPU than the asked epochs, by what the same network needs to predict."""
    if observed.training_cpu_seconds is None:
        return False
    forward = observed.prediction_cpu_seconds / observed.predicted_images
    expected = TRAINING_TO_PREDICTION * forward * observed.train_images * observed.epochs
    small_batch = USUAL_SMALL_BATCH / min(observed.batch or USUAL_SMALL_BATCH, USUAL_SMALL_BATCH)
    return observed.training_cpu_seconds > CPU_CONSTANT_SECONDS + CPU_HEADROOM * small_batch * expected


def _halves_disagree(score: Score) -> bool:
    """Two-proportion z-test with the pooled share; stratified halves differ by less than binomial draws."""
    if score.audit_accuracy is None:
        return False
    images, audited = score.evaluated_images, score.audit_images
    pooled = (score.accuracy * images + score.audit_accuracy * audited) / (images + audited)
    error = math.sqrt(pooled * (1 - pooled) * (1 / images + 1 / audited))
    return abs(score.accuracy - score.audit_accuracy) > HALVES_Z * error
