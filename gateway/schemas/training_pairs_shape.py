"""How the lines of a stream of training pairs look; `training_pairs_document` makes them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel

from contracts.jobs import NetworkWheel
from gateway.domain.training_pairs import PairKind, PairSettings, Split
from gateway.schemas.problem_document import ProblemDocument
from gateway.schemas.shape import Count, Hyperparameters, Sha256, Shape, Share

CountsBySplit = Annotated[dict[Split, Count], Field(examples=[{"train": 90, "validation": 10}])]
CountsByReason = Annotated[dict[str, Count], Field(examples=[{"too_long": 3}])]


class MakingStep(Shape):
    """How far a making is: `done` of `total` of what the step counts."""

    step: Literal["comparing", "trying", "mutations"]
    done: Count
    total: Count


class PairTurn(Shape):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class PairEnd(Shape):
    """A network that a pair leads from or to."""

    name: Annotated[str, Field(examples=["lemur/ResNet"])]
    family: str
    candidate_id: Sha256
    first_epoch_accuracy: Share
    hyperparameters: Hyperparameters
    """What it was recorded with."""
    licence: str


class PairMetadata(Shape):
    """Where a pair is from."""

    dataset: str
    baseline: PairEnd
    target: PairEnd | None
    """Null of a mutation, whose target nobody measured; so are `gain` and `jaccard`."""
    gain: Annotated[float | None, Field(ge=0, le=1, examples=[0.031])]
    """By which the target's first epoch is better, as a fraction."""
    jaccard: Share | None
    """Similarity of the token shingles of both sources."""
    summary: str
    delta_lines: Count
    """Of the delta without its file headers, context included."""
    changed_lines: Count
    prompt_version: Annotated[str, Field(examples=["delta_v2"])]


class PairDocument(Shape):
    """A pair as a chat; the last turn is the delta to learn."""

    split: Split
    kind: PairKind
    messages: list[PairTurn]
    metadata: PairMetadata


class NetworkCounts(Shape):
    """Networks that were looked at."""

    recorded: Count
    copies: Count
    not_comparable: Count


class MakingSummary(Shape):
    """What became of everything that was looked at; the last line of a stream that is whole."""

    settings: PairSettings
    catalogue_sha256: Sha256
    """The same catalogue and settings give the same pairs."""
    packages: list[NetworkWheel]
    """That the networks came in."""
    prompt_versions: list[str]
    networks: NetworkCounts
    families: CountsBySplit
    near_pairs: Count
    pairs: dict[Split, dict[PairKind, Count]]
    left_out: dict[PairKind, CountsByReason]
    delta_lines: Annotated[dict[Split, dict[str, Count]], Field(examples=[{"train": {"20": 4}}])]
    """How many pairs have a delta of so many lines."""
    sha256: dict[Split, Sha256]
    """Of the files that the lines of each split make: each pair alone on a line, as it was sent."""


class ProgressLine(Shape):
    """A step is so far."""

    progress: MakingStep


class PairLine(Shape):
    """A pair."""

    pair: PairDocument


class SummaryLine(Shape):
    """The end: all is there."""

    summary: MakingSummary


class FailedLine(Shape):
    """The end: what came before is not all."""

    failed: ProblemDocument


class TrainingPairsLine(RootModel[ProgressLine | PairLine | SummaryLine | FailedLine]):
    """One line of the stream."""

    model_config = ConfigDict(frozen=True)
