"""What a caller may ask of the baselines: filters of the list, and which networks to smoke-test."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from contracts.names import SourceContract
from gateway.domain.baseline_filter import IMPORT_ORIGINS, SHIPPED_ORIGIN, BaselineFilter
from gateway.schemas.evaluation_body import BaselineName, Name

MAX_NAMES = 200
MAX_NETWORKS = 100_000

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Word = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9._/-]+$")]
Origin = Annotated[str, Field(pattern=f"^({'|'.join((SHIPPED_ORIGIN, *IMPORT_ORIGINS))})$")]
ImportOrigin = Annotated[str, Field(pattern=f"^({'|'.join(IMPORT_ORIGINS)})$")]


class BaselineQuery(BaseModel):
    """Filters of `GET /v1/baselines`; every one narrows the list."""

    model_config = _CLOSED

    origin: Origin | None = None
    """`deltanas`: shipped; `lemur`: imported."""
    dataset: Name | None = None
    """Only networks with a recorded result on it; `accuracy_…` and `sort=accuracy` are on it."""
    family: Word | None = None
    accuracy_at_least: Fraction | None = None
    """After one epoch, as recorded by the network's authors."""
    accuracy_at_most: Fraction | None = None
    parameters_at_most: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Known of networks that passed a smoke evaluation."""
    contract: SourceContract | None = None
    usable_on: Name | None = None
    """Only networks that can start a search on this dataset: shipped, or smoke evaluation passed."""
    name_contains: Word | None = None
    sort: Literal["name", "accuracy"] = "name"
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,300}$")] | None = None

    @model_validator(mode="after")
    def _accuracies_are_on_a_dataset(self) -> Self:
        wanted = self.accuracy_at_least, self.accuracy_at_most
        if self.dataset is None and (wanted != (None, None) or self.sort == "accuracy"):
            raise ValueError("accuracies need a dataset: name one in `dataset`")
        return self

    @property
    def filter(self) -> BaselineFilter:
        """The same as the catalogue takes it."""
        return BaselineFilter(
            origin=self.origin,
            recorded_on=self.dataset,
            family=self.family,
            accuracy_at_least=self.accuracy_at_least,
            accuracy_at_most=self.accuracy_at_most,
            parameters_at_most=self.parameters_at_most,
            contract=self.contract,
            usable_on=self.usable_on,
            name_contains=self.name_contains,
        )


class SmokeRunBody(BaseModel):
    """Which imported networks to try, and on which dataset; without any filter, all."""

    model_config = _CLOSED

    dataset: Name
    """Where they are tried: two batches of training, one of answers."""
    names: Annotated[list[BaselineName], Field(min_length=1, max_length=MAX_NAMES)] | None = None
    origin: ImportOrigin | None = None
    recorded_on: Name | None = None
    """Only networks with a recorded result on it; `accuracy_…` are on it."""
    family: Word | None = None
    accuracy_at_least: Fraction | None = None
    accuracy_at_most: Fraction | None = None
    contract: SourceContract | None = None
    name_contains: Word | None = None
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_NETWORKS)] | None = None
    """At most so many: a fair sample, and part of every larger one."""
    again: Annotated[bool, Field(strict=True)] = False
    """Try once more those that failed; without it, their record answers."""

    @model_validator(mode="after")
    def _accuracies_are_on_a_dataset(self) -> Self:
        if self.recorded_on is None and (self.accuracy_at_least, self.accuracy_at_most) != (None, None):
            raise ValueError("accuracies need a dataset: name one in `recorded_on`")
        return self

    @property
    def filter(self) -> BaselineFilter:
        """The same as the catalogue takes it; `names` and `limit` are beside it."""
        return BaselineFilter(
            origin=self.origin,
            recorded_on=self.recorded_on,
            family=self.family,
            accuracy_at_least=self.accuracy_at_least,
            accuracy_at_most=self.accuracy_at_most,
            contract=self.contract,
            name_contains=self.name_contains,
        )
