"""What a search asks of a proposer, and what comes back: slots, answers, the calls of a model behind them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contracts.chats import ChatMessage


class AnswerForm(StrEnum):
    """How a proposer answers: with a unified diff of its baseline, or with a whole source."""

    DELTA = "delta"
    SOURCE = "source"


@dataclass(frozen=True)
class EditPermissions:
    """Where a delta may change its baseline. Regions: `imports`; `NAME`, a method of `Net` or a top-level
    definition; `CLASS.METHOD`. What is in `never` stays as it is even where `only` names it."""

    only: tuple[str, ...] = ()
    """Empty: everywhere that `never` does not name."""
    never: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeploymentLimits:
    """What a network must keep to so that it can be deployed. Nothing set: no limits."""

    forbidden_operators: tuple[str, ...] = ()
    """Names as they are written after the last dot: `Conv3d`, `softmax`, `interpolate`."""
    max_parameters: int | None = None
    max_flops: int | None = None
    """Multiplications and additions of one forward pass of one image, each counted as one."""


@dataclass(frozen=True)
class DataShape:
    """What a network of a data set takes and gives: images of this size, and so many classes."""

    channels: int
    height: int
    width: int
    classes: int


@dataclass(frozen=True)
class PastTry:
    """One triple of a feedback memory (arXiv 2603.12091): what was wrong, what was changed, what came of it.

    Every text may quote a model or a candidate: bounded, untrusted.
    """

    problem: str
    change: str
    outcome: str


@dataclass(frozen=True)
class ProposalSlot:
    """One proposal to make. `seed` is derived from search seed, cycle and slot, so replay repeats it."""

    slot: int
    seed: int
    baseline_source: str
    baseline_id: str
    baseline_accuracy: float | None = None
    """Of the baseline in this search, in [0, 1]."""
    history: tuple[PastTry, ...] = ()
    """What was tried before, oldest first."""


@dataclass(frozen=True)
class ProposalRequest:
    """Up to 8 slots of one cycle, for one proposer."""

    search_id: str
    cycle: int
    proposer: str
    dataset: str
    slots: tuple[ProposalSlot, ...]
    options: dict[str, Any] = field(default_factory=dict)
    edits: EditPermissions = field(default_factory=EditPermissions)
    deployment: DeploymentLimits = field(default_factory=DeploymentLimits)
    adapter: str | None = None
    """The LoRA weights that a local model speaks with; None: as it came."""
    data_shape: DataShape | None = None
    """For whose images a network's costs are counted; None: they are known of standard data sets alone."""
    patience_seconds: float | None = None
    """For so long at most an endpoint that fails is asked again; None: as long as its own patience is."""


MAX_PARAMETERS = 32
"""Of one call of a model, that its answer was drawn with."""
MAX_PARAMETER_NAME = 60
MAX_PARAMETER_VALUE = 2_000
"""Characters, of what is no text in JSON."""


@dataclass(frozen=True)
class ModelWeights:
    """What a local model answered with: beside seed and prompt, all that its words depend on."""

    sha256: str
    """Of its safetensors, as its manifest has it; an adapter's are named by its id."""
    dtype: str
    """What it computes in: `float32`, `bfloat16`, `float16`; `nf4/bfloat16` of weights held in 4 bits."""
    device: str
    """`cpu` or `cuda`."""


@dataclass(frozen=True)
class ModelCall:
    """One answer of a language model, with all that is needed to ask for it again.

    No key of an endpoint is ever part of it. `answer` is untrusted and bounded.
    """

    role: str
    """What it was asked for: `proposal`, `repair` or `diagnosis`; `check`: whether an answer comes at all."""
    model: str
    """A hub id, the name of a local folder, or the endpoint's name and the model's there: `local/qwen2.5`."""
    adapter: str | None
    prompt_version: str
    messages: tuple[ChatMessage, ...]
    sampling: dict[str, float | int | str | bool | None]
    """Temperature, top_p, max_tokens, seed …, as they were sent."""
    answer: str
    finish_reason: str
    """`stop`, `length`, or what the endpoint said; `timeout` and `too_long` are ours."""
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    """By the endpoint's prices; None where none are known."""
    seconds: float
    tokens_estimated: bool = False
    """Whether tokens are in it that the endpoint did not count: of an answer that time cut short, and of
    earlier tries at it that broke off, counted from what was sent and had come."""
    weights: ModelWeights | None = None
    """Of a local model; None of an endpoint, which does not say."""


@dataclass(frozen=True)
class Proposal:
    """The raw answer of a proposer for one slot, kept as it came.

    `answer` is empty and `failure` says why when the proposer found nothing to propose. With several
    calls (repairs, a diagnosis before) `answer` is that of the last one that proposed.
    """

    slot: int
    proposer: str
    answer: str
    summary: str
    """One line for people, such as 'widen conv2 32 → 48'."""
    failure: str = ""
    form: AnswerForm = AnswerForm.DELTA
    calls: tuple[ModelCall, ...] = ()


@dataclass(frozen=True)
class ProposerBlocked:
    """A proposer cannot go on, by no fault of a model's words: the rest of its slots is unanswered."""

    code: str
    """`endpoint_unreachable`, `endpoint_failed`, `rate_limited`, `model_unknown`, `key_refused`,
    `key_missing`, `model_not_loadable`, `model_failed`, `out_of_memory`, `adapter_unknown`,
    `adapter_mismatch` …"""
    message: str
    """A sentence that names the endpoint or the model, for people."""
    remedy: str
    retryable: bool
    """True: it may pass by waiting. False: somebody has to change something first; the search pauses."""
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class ProposalLine:
    """One line of the answer: exactly one field is set. `blocked` is the last line."""

    proposal: Proposal | None = None
    blocked: ProposerBlocked | None = None
