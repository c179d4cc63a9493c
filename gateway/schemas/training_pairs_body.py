"""What a caller may ask of a set of training pairs, with its ranges. Unknown fields and NaN are refused."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.domain.training_pairs import Hyperparameters, PairSettings
from gateway.schemas.baseline_query import Fraction
from gateway.schemas.evaluation_body import Name, Seed

MAX_PAIRS = 100_000
MAX_MUTATION_PAIRS = 10_000
MAX_DELTA_LINES = 2_000

Lines = Annotated[int, Field(strict=True, ge=1, le=MAX_DELTA_LINES)]


class TrainingPairsBody(BaseModel):
    """One set of training pairs for a dataset; everything but the dataset has a default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)

    dataset: Name
    """Networks with a recorded first epoch on it are paired."""
    hyperparameters: Hyperparameters = Hyperparameters.SAME
    """`same`: only networks recorded with equal hyperparameters are compared; `any`: all."""
    min_gain: Fraction = 0.005
    """A target's first epoch is better by at least so much, as a fraction: 0.005 is half a per cent point."""
    at_least: Annotated[Fraction, Field(ge=0.3)] = 0.6
    """Jaccard index of the two sources' token shingles."""
    pairs_per_network: Annotated[int, Field(strict=True, ge=1, le=100)] = 4
    """At most so many with the same baseline, and so many with the same target."""
    max_pairs: Annotated[int, Field(strict=True, ge=0, le=MAX_PAIRS)] = 20_000
    """Of recorded networks, train and validation together."""
    mutation_pairs: Annotated[int, Field(strict=True, ge=0, le=MAX_MUTATION_PAIRS)] = 500
    """On top: deltas of the mutation proposer, whose target nobody measured."""
    validation_share: Annotated[Fraction, Field(le=0.5)] = 0.1
    """Split by family: both ends of a pair belong to families of one split."""
    seed: Seed = 0
    fewest_lines: Lines = 5
    """Of the delta without its file headers, context included."""
    most_lines: Lines = 60

    @model_validator(mode="after")
    def _lines_leave_room(self) -> Self:
        if self.fewest_lines > self.most_lines:
            raise ValueError(
                f"fewest_lines ({self.fewest_lines}) must not be greater than most_lines ({self.most_lines})"
            )
        return self

    @property
    def settings(self) -> PairSettings:
        """The same as the domain takes it."""
        return PairSettings(**self.model_dump())
