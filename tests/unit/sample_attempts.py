"""The attempt that tests ask for, each with the changes that it is about."""

from dataclasses import replace
from typing import Any

from contracts.jobs import AttemptSpec
from contracts.measurements import Limits
from contracts.names import AttemptKind, Integrity, IsolationTier, ScoredOn
from sandbox_runner.specimens import quadrants
from sandbox_runner.specimens.specimen import CONTROL

USUAL = AttemptSpec(
    attempt_id="at_1",
    evaluation_id="ev_1",
    fence=1,
    kind=AttemptKind.EVALUATE,
    source=CONTROL.source,
    dataset=quadrants.NAME,
    epochs=3,
    seed=0,
    train_images=None,
    hyperparameters={"batch": 32},
    limits=Limits(),
    threads=1,
    device="cpu",
    integrity=Integrity.STANDARD,
    minimum_tier=IsolationTier.NAMESPACES,
    scored_on=ScoredOn.ALL,
    split_key="split",
    shuffle_key="shuffle",
)
"""An honest network on the data set of the specimens, as the specimens are run."""


def make_attempt(attempt_id: str = USUAL.attempt_id, **changes: Any) -> AttemptSpec:
    """The usual attempt under this id, with these fields changed."""
    return replace(USUAL, attempt_id=attempt_id, **changes)
