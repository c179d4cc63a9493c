"""How fine-tunes and adapters look in answers; `fine_tune_document` makes them.

Losses are nats per token of the answers, rates shares in [0, 1].
"""

from dataclasses import dataclass
from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from contracts.fine_tuning import (
    AdapterManifest,
    FineTuneFailure,
    FineTuneResult,
    FineTuneState,
)
from gateway.domain.fine_tuning import EliteSource, GivenPairs
from gateway.domain.training_pairs import PairSettings
from gateway.schemas.fine_tune_body import FineTuneSettingsBody
from gateway.schemas.shape import SHOWN, SOME, Count, FineTuneId, Moment, SearchId, Seconds, Shape


class MeasuredChatsDocument(Shape):
    """What became of the chats at the generator."""

    train: Count
    validation: Count
    left_out: Annotated[dict[str, Count], Field(examples=[{"too_long": 3}])]
    """By reason."""


class ChatsDocument(TypedDict):
    """How many chats were made, by where they are from."""

    __pydantic_config__ = SOME  # type: ignore[misc]

    elite: NotRequired[Count]
    replayed: NotRequired[Count]
    lemur: NotRequired[Count]
    mutation: NotRequired[Count]
    given: NotRequired[Count]
    left_out: NotRequired[Annotated[dict[str, Count], Field(examples=[{"too_long": 3}])]]
    """Those that did not come about, by reason."""
    measured: NotRequired[MeasuredChatsDocument]
    """Once the generator has counted their tokens."""


class FineTuneProgressDocument(Shape):
    """Steps, losses and speed, as the generator last told them."""

    step: Count
    steps: Count | None
    """Known once the chats have been measured in tokens."""
    epoch: Annotated[float, Field(ge=0, examples=[1.25])]
    train_loss: float | None
    validation_loss: float | None
    validation_loss_before: float | None
    best_validation_loss: float | None
    best_step: Count | None
    tokens_per_second: Annotated[float | None, Field(ge=0)]
    eta_seconds: Seconds | None
    trainer_starts: Count
    """Above 1: it was taken up again from a checkpoint so many times less one."""


class FineTuneRequestDocument(FineTuneSettingsBody):
    """What was asked for, the preset's own values left out. At least one of the last three is set."""

    model_config = ConfigDict(extra="ignore")

    seed: Count
    elites: EliteSource | None
    training_pairs: PairSettings | None
    pairs: GivenPairs | None


class FineTuneDocument(Shape):
    """A job."""

    id: FineTuneId
    state: FineTuneState
    phase: Annotated[str, Field(examples=["pairing", "training", ""])]
    """While it runs: `pairing`, `loading`, `probing`, `training`, `validating` or `saving`; else empty."""
    model: Annotated[str, Field(examples=["qwen2.5-coder-0.5b"])]
    parent_adapter: str | None
    search_id: SearchId | None
    after_cycle: Count | None
    """Set where a search asked for it when this cycle had closed."""
    request: FineTuneRequestDocument
    chats: ChatsDocument | None
    progress: FineTuneProgressDocument | None
    retries: Count
    retry_at: Moment | None
    waiting_for: str | None
    failure: FineTuneFailure | None
    result: FineTuneResult | None
    adapter: FineTuneId | None
    """The adapter that came of it, while it is there."""
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class FineTuneList(Shape):
    """A page of jobs, newest first."""

    items: list[FineTuneDocument]
    next_cursor: FineTuneId | None
    """Sent as `cursor` it gives the next page; null: there is none."""


class CycleFineTuneDocument(Shape):
    """The job that a search asked for when a cycle had closed."""

    id: FineTuneId
    state: FineTuneState
    waiting_for: str | None
    parent_adapter: str | None
    chats: ChatsDocument | None
    result: FineTuneResult | None
    failure: FineTuneFailure | None


@dataclass(frozen=True, kw_only=True)
class AdapterDocument(AdapterManifest):
    """An adapter: its manifest, and the search whose elites it learnt from."""

    __pydantic_config__ = SHOWN

    search_id: SearchId | None
    after_cycle: Count | None


class AdapterList(Shape):
    """A page of adapters, newest first."""

    items: list[AdapterDocument]
    next_cursor: FineTuneId | None
    """Sent as `cursor` it gives the next page; null: there is none."""
