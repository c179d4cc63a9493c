"""Fine-tuning of a local language model: what is asked for, how it goes, and the adapter that comes of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contracts.chats import ChatMessage


class FineTuneState(StrEnum):
    """Where a job is; the last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in {FineTuneState.SUCCEEDED, FineTuneState.FAILED, FineTuneState.CANCELLED}


class FineTuneCare(StrEnum):
    """What a generator does with a job that it has."""

    OWN = "own"
    """It trains the job, and keeps the adapter."""
    LENT = "lent"
    """It keeps the chats, later the adapter; the training is done on another host."""
    BORROWED = "borrowed"
    """It trains the job for an agent. Whenever no agent asks for that, the job rests."""


class FineTunePreset(StrEnum):
    """Where unnamed settings come from: arXiv 2605.04903, or what two cores and 8 GiB can carry."""

    PAPER = "paper"
    CPU = "cpu"


class Schedule(StrEnum):
    """How the learning rate falls after its warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class Precision(StrEnum):
    """What the base model computes in. LoRA weights are float32 in every case."""

    AUTO = "auto"
    """bfloat16 where the device multiplies it faster than float32."""
    BF16 = "bf16"
    FP32 = "fp32"


class GradientCheckpointing(StrEnum):
    """Whether activations are computed twice instead of kept. The losses are the same either way."""

    AUTO = "auto"
    """Once a run without it has been too large for the memory."""
    ON = "on"
    OFF = "off"


class Quantization(StrEnum):
    """Whether the base is trained on in 4 bits, as in arXiv 2605.04903. LoRA weights never are."""

    NONE = "none"
    NF4 = "nf4"
    """By bitsandbytes, which has to be installed."""
    AUTO = "auto"
    """nf4 on a GPU where bitsandbytes is installed; elsewhere the job says why not and trains without."""


class ChatSplit(StrEnum):
    """What a training chat is for."""

    TRAIN = "train"
    """To be learnt; where no chat is for validation, some of these are held out."""
    REPLAY = "replay"
    """To be learnt again: the parent adapter knows it, so it can judge nothing and is never held out."""
    VALIDATION = "validation"


@dataclass(frozen=True)
class ValidRateProbe:
    """Answers that are sampled on held-out baselines before and after training, and applied as deltas."""

    samples: int
    """0: none, also where the preset asks for some."""
    temperature: float = 0.35
    top_p: float = 0.9
    top_k: int = 50
    max_tokens: int = 768


@dataclass(frozen=True)
class FineTuneSettings:
    """All that decides what a job learns, besides its chats."""

    model: str
    """The name of a model in the operator's store."""
    preset: FineTunePreset
    parent_adapter: str | None
    """The adapter that training goes on from; None: the model as it is."""
    rank: int
    alpha: int
    dropout: float
    targets: tuple[str, ...]
    """Names of linear layers, such as `q_proj`."""
    learning_rate: float
    weight_decay: float
    epochs: int
    max_steps: int | None
    """Optimizer steps after which training ends, whatever `epochs` says."""
    batch: int
    accumulation: int
    """Batches of one optimizer step."""
    schedule: Schedule
    warmup_share: float
    """Of all steps, in [0, 1]."""
    max_gradient_norm: float
    max_length: int
    """Tokens of prompt and answer; longer chats are left out."""
    seed: int
    validation_share: float
    """Of the training chats' prompts, where no chat is there for validation."""
    max_validation_chats: int
    evaluate_every: int
    """Optimizer steps between two validations; there is one before the first step and one after the last."""
    patience: int
    """Validations without a better loss after which training ends; 0: it never ends early."""
    precision: Precision
    gradient_checkpointing: GradientCheckpointing
    checkpoint_seconds: float
    """At most about so much work is lost when the trainer is killed."""
    probe: ValidRateProbe | None = None
    quantization: Quantization = Quantization.NONE


@dataclass(frozen=True)
class TrainingChat:
    """One line of a job's chats. The last turn is the answer to learn: a canonical delta in its frame."""

    split: ChatSplit
    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True)
class ChatCounts:
    """What became of a job's chats.

    `left_out` counts by reason: `too_long`, `control_token_in_answer`, `surplus_validation`.
    """

    train: int
    validation: int
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FineTuneFailure:
    """Why a job ended without an adapter."""

    reason: str
    """`model_unknown`, `model_not_loadable`, `adapter_unknown`, `adapter_mismatch`, `no_usable_pairs`,
    `out_of_memory`, `disk_full`, `home_unwritable`, `non_finite`, `stalled`, `trainer_died`,
    `libraries_missing`, `job_busy`, `job_damaged`, `internal_error`."""
    message: str
    remedy: str
    retryable: bool
    """True: tried again, the same job goes on from its last checkpoint."""


@dataclass(frozen=True)
class FineTuneResult:
    """What a job came to. Losses are nats per token of the answers; rates are shares in [0, 1]."""

    adapter: str
    adopted: bool
    """False: the adapter is kept, but it is no better than what was there before."""
    reason: str
    """One sentence about `adopted`."""
    use: str | None
    """The adapter to propose with from now on: this one, or the parent; None: the model as it is."""
    best_step: int
    validation_loss_before: float
    validation_loss_after: float
    valid_rate_before: float | None = None
    valid_rate_after: float | None = None


@dataclass(frozen=True)
class FineTuneStatus:
    """A job as it stands."""

    id: str
    state: FineTuneState
    phase: str
    """While it runs: `loading`, `probing`, `training`, `validating`, `saving`; else empty."""
    settings: FineTuneSettings
    content_sha256: str
    """Of settings and chats: the same id with other content is refused."""
    data_sha256: str
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    trainer_starts: int = 0
    """Above 1: it was taken up again from a checkpoint so many times less one."""
    care: FineTuneCare = FineTuneCare.OWN
    rests: bool = False
    """It is borrowed, and nobody has asked for it since its trainer ended."""
    last_event: int = 0
    """The sequence number of the last event so far."""
    chats: ChatCounts | None = None
    step: int = 0
    steps: int | None = None
    """Known once the chats have been measured in tokens."""
    epoch: float = 0.0
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_loss_before: float | None = None
    best_validation_loss: float | None = None
    best_step: int | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    failure: FineTuneFailure | None = None
    result: FineTuneResult | None = None


@dataclass(frozen=True)
class FineTuneEvent:
    """One line of a job's journal. After a resumption steps may come a second time, with the same losses.

    Kinds: `queued`, `waiting_for_memory` (a local model answers yet), `started` (a trainer), `phase`,
    `measured` (chats in tokens), `loaded` (the base, in which numbers and why), `probed`, `step`,
    `validated`, `checkpoint`, `resumed` (from a checkpoint), `stopped_early`, `trainer_lost`, `succeeded`,
    `failed`, `cancelled`. `data` is of the kind.
    """

    sequence: int
    """From 1, without gaps."""
    at: str
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class AdapterFile:
    """One file of an adapter."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class AdapterManifest:
    """Where an adapter comes from. The files beside it are in the form that PEFT and vLLM load."""

    id: str
    base_model: str
    """The model's name in the store."""
    base_source: str
    """A public id, or where else the base came from."""
    base_weights_sha256: str
    parent_adapter: str | None
    data_sha256: str
    settings: FineTuneSettings
    chats: ChatCounts
    result: FineTuneResult
    steps: int
    trained_tokens: int
    """Of answers, each counted as often as it was learnt from."""
    versions: dict[str, str]
    created_at: str
    files: tuple[AdapterFile, ...]
    prompt_version: str = "delta_v2"
    """The words that its chats asked in, and that a proposer asks it in. Older manifests do not say it."""
    base_loaded_in: str = ""
    """What the base stood in while the adapter learnt: `nf4`, `bf16` or `fp32`; empty in older manifests."""
