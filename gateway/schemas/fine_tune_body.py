"""What a caller may ask of a fine-tuning job, with its ranges. Unknown fields and NaN are refused."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from contracts.fine_tuning import FineTunePreset, GradientCheckpointing, Precision, Quantization, Schedule
from gateway.domain.fine_tune_plan import EliteDeltas, FineTunePlan
from gateway.domain.fine_tuning import MAX_REPLAY
from gateway.domain.search import MAX_CYCLES
from gateway.schemas.baseline_query import Fraction
from gateway.schemas.evaluation_body import ArchitectureBody, DeltaText, Name, Seed
from gateway.schemas.training_pairs_body import TrainingPairsBody
from gateway.schemas.webhook_body import WebhookUrl
from gateway.theory.diversity import AlarmThresholds

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
AdapterId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
Layer = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,99}$")]

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)
_COUNT = 1_000_000
MAX_PAIRS = 200
"""Of one request, each applied before it is answered; the body has 512 KiB."""


def _whole(least: int, most: int) -> Any:
    return Annotated[int, Field(strict=True, ge=least, le=most)] | None


class ProbeBody(BaseModel):
    """Answers that the model gives on held-out baselines before and after; a worse share rolls back.

    `paper` asks for 32 and `cpu` for none; 0 samples switch it off.
    """

    model_config = _CLOSED

    samples: Annotated[int, Field(strict=True, ge=0, le=1000)]
    temperature: Annotated[FiniteFloat, Field(ge=0, le=5)] = 0.35
    top_p: Fraction = 0.9
    top_k: Annotated[int, Field(strict=True, ge=0, le=1000)] = 50
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=8192)] = 768


class FineTuneSettingsBody(BaseModel):
    """How a model learns. What is left out or null is the preset's."""

    model_config = _CLOSED

    preset: FineTunePreset = FineTunePreset.CPU
    """`paper`: the settings of arXiv 2605.04903; `cpu`: for two cores and 8 GiB."""
    rank: _whole(1, 512) = None  # type: ignore[valid-type]
    alpha: _whole(1, 4096) = None  # type: ignore[valid-type]
    dropout: Annotated[FiniteFloat, Field(ge=0, le=0.9)] | None = None
    targets: Annotated[list[Layer], Field(min_length=1, max_length=32)] | None = None
    """Names of linear layers, such as `q_proj`."""
    learning_rate: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = None
    weight_decay: Annotated[FiniteFloat, Field(ge=0, le=10)] | None = None
    epochs: _whole(1, 1000) = None  # type: ignore[valid-type]
    max_steps: _whole(1, _COUNT) = None  # type: ignore[valid-type]
    batch: _whole(1, 256) = None  # type: ignore[valid-type]
    accumulation: _whole(1, 1024) = None  # type: ignore[valid-type]
    schedule: Schedule | None = None
    warmup_share: Fraction | None = None
    max_gradient_norm: Annotated[FiniteFloat, Field(ge=0, le=1e6)] | None = None
    max_length: _whole(16, 262_144) = None  # type: ignore[valid-type]
    """Tokens of prompt and answer; longer chats are left out."""
    validation_share: Annotated[FiniteFloat, Field(ge=0, le=0.9)] | None = None
    max_validation_chats: _whole(1, 10_000) = None  # type: ignore[valid-type]
    evaluate_every: _whole(1, _COUNT) = None  # type: ignore[valid-type]
    patience: _whole(0, 10_000) = None  # type: ignore[valid-type]
    precision: Precision | None = None
    gradient_checkpointing: GradientCheckpointing | None = None
    quantization: Quantization | None = None
    """In what the base stands while it learns: `none`, `nf4` (needs bitsandbytes), or `auto`."""
    probe: ProbeBody | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What was said, by the names of FineTuneSettings."""
        names = FineTuneSettingsBody.model_fields
        return self.model_dump(mode="json", include=set(names), exclude_none=True)


class AlarmsBody(BaseModel):
    """When collapsing proposals stop the learning, or make the search go an adapter back."""

    model_config = _CLOSED

    unique_share: Fraction = 0.5
    """Nothing is learnt after a cycle of which fewer proposals were new, beyond doubt."""
    distance_share: Fraction = 0.5
    """The adapter before is used again once the mean distance is below this share of the first cycle's."""
    lasting: Annotated[int, Field(strict=True, ge=1, le=MAX_CYCLES)] = 2
    """Cycles in a row that distances must stay there."""


class FineTunePlanBody(FineTuneSettingsBody):
    """How a search fine-tunes its model: the elites so far, each as the canonical delta from its parent."""

    every: Annotated[int, Field(strict=True, ge=1, le=MAX_CYCLES)] = 1
    """After so many cycles each."""
    replay: Annotated[FiniteFloat, Field(ge=0, le=MAX_REPLAY)] = 0.5
    """Of the elites' deltas, at most this share was learnt before: against forgetting."""
    deltas: EliteDeltas = EliteDeltas.IMPROVEMENTS
    """`improvements`: those elites alone that are better than their parents; `all`: every elite."""
    training_pairs: TrainingPairsBody | None = None
    """Pairs of recorded networks and mutations that are learnt, too."""
    alarms: AlarmsBody | None = None
    """Collapsing proposals stop the learning or roll the adapter back; null: alarms are shown alone."""

    @property
    def plan(self) -> FineTunePlan:
        """The same as the domain takes it."""
        pairs = None if self.training_pairs is None else self.training_pairs.model_dump(mode="json")
        alarms = None if self.alarms is None else AlarmThresholds(**self.alarms.model_dump())
        return FineTunePlan(self.every, self.settings, self.replay, self.deltas, pairs, alarms)


class PairBody(ArchitectureBody):
    """A pair of the caller's: a `baseline` by name or a `baseline_source`, and the delta to learn.

    What is learnt is the canonical delta to what it makes of the baseline, never the text itself.
    """

    source: None = None
    delta: DeltaText
    dataset: Name
    """On which the result is better: the prompt names it."""
    baseline_accuracy: Fraction | None = None
    """After one epoch, if known: the prompt tells it."""


class FineTuneBody(FineTuneSettingsBody):
    """One job. It learns from a search's elites, a data set's training pairs, or pairs of one's own."""

    model: ModelName
    """A model of this server's."""
    parent_adapter: AdapterId | None = None
    """Go on from this adapter; null: from the model as it is."""
    search_id: Annotated[str, Field(pattern=r"^se_[0-9a-f]{1,40}$")] | None = None
    """What was elite in closed cycles, each as the canonical delta from its parent."""
    deltas: EliteDeltas = EliteDeltas.IMPROVEMENTS
    """Of the search: `improvements`, those elites alone that are better than their parents, or `all`."""
    training_pairs: TrainingPairsBody | None = None
    """Pairs of recorded networks and mutations, as `POST /v1/training-pairs` makes them."""
    pairs: Annotated[list[PairBody], Field(max_length=MAX_PAIRS)] = Field(default_factory=list)
    """The caller's own; all of them apply, or the job is refused."""
    seed: Seed = 0
    callback_url: WebhookUrl | None = None
    """Where this one's events are posted, as docs/webhooks.md tells."""

    @model_validator(mode="after")
    def _learns_from_something(self) -> Self:
        if self.search_id is None and self.training_pairs is None and not self.pairs:
            raise ValueError("there is nothing to learn from: give a search_id, training_pairs, or pairs")
        return self
