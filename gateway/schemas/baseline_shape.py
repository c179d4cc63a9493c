"""How baselines, imports and smoke runs look in answers; `baseline_document` makes them."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from contracts.failures import Failure
from contracts.jobs import NetworkImportSummary, ReferenceResult
from contracts.names import SourceContract
from gateway.domain.baseline_import import ImportFailure, ImportState
from gateway.domain.baseline_record import Facet
from gateway.domain.baseline_smoke import SmokeRunState, SmokeState
from gateway.schemas.shape import (
    SOME,
    Bytes,
    Count,
    EvaluationId,
    Hyperparameters,
    ImportId,
    Moment,
    Sha256,
    Shape,
    Share,
    SmokeRunId,
    Untrusted,
)


class RecordedResultDocument(Shape):
    """What others measured of a network on one dataset."""

    dataset: Annotated[str, Field(examples=["cifar-10"])]
    first_epoch_accuracy: Share | None
    best_accuracy: Share
    best_epoch: Count


class SmokeStatusDocument(Shape):
    """How a network last did in a smoke evaluation on one dataset."""

    dataset: str
    passed: bool
    failure: Failure | None
    claimed_parameters: Count | None
    """The network's own word."""
    environment_digest: str


class _BaselineFields(Shape):
    name: Annotated[str, Field(examples=["vgg-small", "lemur/ResNet"])]
    """An imported network has its origin and a slash before its name."""
    origin: Annotated[str, Field(examples=["deltanas", "lemur"])]
    family: Annotated[str, Field(examples=["residual"])]
    contract: SourceContract
    description: str
    licence: str
    """The SPDX identifier, and the copyright line that came with it."""
    hyperparameters: Hyperparameters
    parameters: Count | None
    """The network's own word, from a smoke evaluation that it passed."""
    usable_on: list[str] | None
    """Datasets on which it passed one; null of a shipped baseline, which needs none."""
    smoke: list[SmokeStatusDocument]


class BaselineDocument(_BaselineFields):
    """A reference architecture, without its source."""

    results: list[RecordedResultDocument]


class WholeBaselineDocument(_BaselineFields):
    """A reference architecture with its source and what its results were recorded with."""

    results: list[ReferenceResult]
    source: str


class BaselineList(Shape):
    """A page of baselines."""

    items: list[BaselineDocument]
    next_cursor: Annotated[str | None, Field(examples=["WyJsZW11ci9SZXNOZXQiXQ"])]
    """Sent as `cursor`, with the same `sort`, it gives the next page; null: there is none."""


class FacetsDocument(Shape):
    """What imported networks can be filtered by; a value with how many networks have it."""

    origins: list[Facet]
    families: list[Facet]
    contracts: list[Facet]
    datasets: list[Facet]


class ImportProgressDocument(Shape):
    """How far an import is."""

    total: Count | None
    """Networks in the file, once they are counted."""
    read: Count
    """Each is stored, unchanged or refused."""
    stored: Count
    unchanged: Count
    refused: Annotated[dict[str, Count], Field(examples=[{"policy_violation": 14}])]
    """By reason."""
    waiting_for: str | None


class ImportDocument(Shape):
    """An import. Its networks are there all at once when it has succeeded."""

    id: ImportId
    origin: Annotated[str, Field(examples=["lemur"])]
    state: ImportState
    content_sha256: Sha256
    size_bytes: Bytes
    progress: ImportProgressDocument
    summary: NetworkImportSummary | None
    """What the reader says of the whole file, once it has succeeded."""
    failure: ImportFailure | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class ImportList(Shape):
    """A page of imports, newest first."""

    items: list[ImportDocument]
    next_cursor: ImportId | None
    """Sent as `cursor` it gives the next page; null: there is none."""


class ChosenNetworksDocument(TypedDict):
    """The filter that the networks of a run were drawn with; what did not narrow it is left out."""

    __pydantic_config__ = SOME  # type: ignore[misc]

    names: NotRequired[list[str]]
    origin: NotRequired[str]
    recorded_on: NotRequired[str]
    family: NotRequired[str]
    accuracy_at_least: NotRequired[Share]
    accuracy_at_most: NotRequired[Share]
    contract: NotRequired[SourceContract]
    name_contains: NotRequired[str]
    limit: NotRequired[Count]
    again: NotRequired[bool]


class SmokeProgressDocument(Shape):
    """The networks of a run, counted by what became of each."""

    total: Count
    pending: Count
    submitted: Count
    passed: Count
    failed: Count
    lost: Count
    """By the platform's fault: in no rate."""
    cancelled: Count
    reused: Count
    """Answered from the record: tried before on this dataset, in the same environment."""
    waiting_for: str | None


class SmokeTallyDocument(Shape):
    """So many networks failed in this way."""

    reason: Annotated[str | None, Field(examples=["train_error"])]
    phase: Annotated[str | None, Field(examples=["startup"])]
    networks: Count


class SmokeRunDocument(Shape):
    """A smoke run."""

    id: SmokeRunId
    dataset: str
    chosen: ChosenNetworksDocument
    state: SmokeRunState
    progress: SmokeProgressDocument
    pass_rate: Share | None
    """Passed of those that passed or failed; null before the first has ended."""
    failures: list[SmokeTallyDocument]
    """The most frequent first."""
    created_at: Moment
    finished_at: Moment | None


class SmokeRunList(Shape):
    """A page of smoke runs, newest first."""

    items: list[SmokeRunDocument]
    next_cursor: SmokeRunId | None
    """Sent as `cursor` it gives the next page; null: there is none."""


class SmokeFailureDocument(Shape):
    """Why a network failed."""

    reason: Annotated[str, Field(examples=["train_error"])]
    phase: str | None
    message: Untrusted | None


class SmokeItemDocument(Shape):
    """What became of one network of a run."""

    place: Count
    name: str
    state: SmokeState
    failure: SmokeFailureDocument | None
    evaluation_id: EvaluationId | None
    reused: bool


class SmokeItemList(Shape):
    """A page of a run's networks."""

    items: list[SmokeItemDocument]
    next_cursor: Count | None
    """Sent as `cursor` it gives the next page; null: there is none."""
