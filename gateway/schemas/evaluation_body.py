"""What a caller may ask of an evaluation, with its ranges. Unknown fields, NaN and infinity are refused."""

import json
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    ValidationInfo,
    create_model,
    field_validator,
)

from contracts.measurements import LIMIT_RANGES, Limits
from contracts.names import (
    MAX_DELTA_BYTES,
    MAX_HYPERPARAMETERS_BYTES,
    MAX_SOURCE_BYTES,
    AttemptKind,
    Integrity,
    IsolationTier,
)
from gateway.schemas.webhook_body import WebhookUrl

MAX_SEEDS = 16
MAX_BATCH = 100

Seed = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,63}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
BaselineName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99})?$", max_length=120),
]
"""A shipped baseline's name, or `origin/name` of an imported one."""
SourceText = Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_BYTES)]
DeltaText = Annotated[str, Field(min_length=1, max_length=MAX_DELTA_BYTES)]
HyperparameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
HyperparameterValue = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
    | Annotated[FiniteFloat, Field(strict=True)]
    | Annotated[str, Field(max_length=200, strict=True)]
)

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)


def _limit_fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, (low, high) in LIMIT_RANGES.items():
        kind = int if isinstance(getattr(Limits(), name), int) else float
        fields[name] = (Annotated[kind, Field(strict=True, ge=low, le=high)], getattr(Limits(), name))
    return fields


LimitsBody: Any = create_model(
    "LimitsBody",
    __config__=_CLOSED,
    __doc__="What binds one attempt, in seconds and bytes; what is left out keeps its default.",
    **_limit_fields(),
)
"""`contracts.measurements.Limits` with its ranges; what is left out keeps its default."""


def _within_pids(threads: int, info: ValidationInfo) -> int:
    """A thread counts as a process: with fewer than these the guest itself could not start."""
    limits = info.data.get("limits")
    if limits is not None and limits.pids < 2 * threads:
        raise ValueError(f"{threads} threads need limits.pids of at least {2 * threads}, not {limits.pids}")
    return threads


def _on_a_gpu(memory_bytes: int, info: ValidationInfo) -> int:
    if memory_bytes and info.data.get("device") == "cpu":
        raise ValueError("the device is cpu, which has no GPU memory: ask for device cuda, or leave it out")
    return memory_bytes


Threads = Annotated[int, Field(strict=True, ge=1, le=64), AfterValidator(_within_pids)]
"""Stands after `limits` in a body."""

GpuMemory = Annotated[int, Field(strict=True, ge=0, le=2**43), AfterValidator(_on_a_gpu)]
"""Bytes, at most 8 TiB. Stands after `device` in a body."""


class ArchitectureBody(BaseModel):
    """Where an architecture comes from.

    `source`; or a `delta` with a `baseline` (its name) or `baseline_source`; or a `baseline` alone.
    """

    model_config = _CLOSED

    source: SourceText | None = None
    baseline: BaselineName | None = None
    baseline_source: SourceText | None = None
    delta: DeltaText | None = None


class EvaluationBody(ArchitectureBody):
    """One evaluation to make."""

    dataset: Name
    kind: AttemptKind = AttemptKind.EVALUATE
    """`smoke` only asks whether the network works: two small batches, whatever `epochs` says; `trace`
    whether it can be written down what its `forward` computes. Neither has a score."""
    epochs: Annotated[int, Field(strict=True, ge=1, le=100)] = 1
    seed: Seed | None = None
    """One attempt; 0 when neither this nor `seeds` is given."""
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MAX_SEEDS)] | None = None
    """Several attempts: their mean and its standard error."""
    train_images: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None = None
    """Cuts the training split; null = all."""
    hyperparameters: Annotated[dict[HyperparameterName, HyperparameterValue], Field(max_length=64)] = Field(
        default_factory=dict
    )
    limits: LimitsBody = Field(default_factory=LimitsBody)
    threads: Threads = 1
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]{1,2})?)$")] = "cpu"
    integrity: Integrity = Integrity.STANDARD
    minimum_tier: IsolationTier = IsolationTier.NAMESPACES
    minimum_gpu_memory_bytes: GpuMemory = 0
    """It runs on a GPU with at least so much memory; 0: on any."""
    priority: Annotated[int, Field(strict=True, ge=-100, le=100)] = 0
    tags: Annotated[list[Tag], Field(max_length=16)] = Field(default_factory=list)
    reuse: Annotated[bool, Field(strict=True)] = True
    callback_url: WebhookUrl | None = None
    """Where this one's events are posted, as docs/webhooks.md tells."""

    @field_validator("hyperparameters")
    @classmethod
    def _small(cls, values: dict[str, HyperparameterValue]) -> dict[str, HyperparameterValue]:
        size = len(json.dumps(values))
        if size > MAX_HYPERPARAMETERS_BYTES:
            raise ValueError(
                f"they take {size} bytes as JSON; at most {MAX_HYPERPARAMETERS_BYTES} are allowed"
            )
        return values


class BatchBody(BaseModel):
    """Up to 100 evaluations. Each item is checked by itself, so that a bad one does not spoil the rest."""

    model_config = _CLOSED

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_BATCH)]
