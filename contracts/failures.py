"""Why a candidate failed. A bad candidate is data: these values are stored and counted, never raised."""

from dataclasses import dataclass
from enum import StrEnum


class FailureReason(StrEnum):
    """The one reason of a failed evaluation (docs/architecture.md)."""

    SYNTAX_ERROR = "syntax_error"
    DELTA_REJECTED = "delta_rejected"
    CONTRACT_VIOLATION = "contract_violation"
    BUILD_ERROR = "build_error"
    TRAIN_ERROR = "train_error"
    PREDICT_ERROR = "predict_error"
    NON_FINITE = "non_finite"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    PIDS_LIMIT = "pids_limit"
    DISK_LIMIT = "disk_limit"
    OUTPUT_LIMIT = "output_limit"
    SIGNALLED = "signalled"
    INVALID_RESULT = "invalid_result"
    POLICY_VIOLATION = "policy_violation"
    INFRASTRUCTURE = "infrastructure"
    """The platform's fault: retried, and never counted against a candidate or a proposer."""


class TimeoutPhase(StrEnum):
    """What a candidate was doing when its time ran out."""

    STARTUP = "startup"
    TRAIN = "train"
    PREDICT = "predict"
    WALL = "wall"


class MemoryResource(StrEnum):
    """Which memory ran out."""

    HOST = "host"
    GPU = "gpu"


REMEDIES: dict[FailureReason, str] = {
    FailureReason.SYNTAX_ERROR: "Correct the source at the line shown; `python -m py_compile FILE` "
    "repeats the check.",
    FailureReason.DELTA_REJECTED: "Re-derive the delta against the exact baseline source.",
    FailureReason.CONTRACT_VIOLATION: "Define `class Net(torch.nn.Module)` with one of the two constructors "
    "of the architecture contract.",
    FailureReason.BUILD_ERROR: "Make the module import and `Net(...)` construct for the input shape.",
    FailureReason.TRAIN_ERROR: "Make forward, loss and backward run for one batch of the dataset's shape.",
    FailureReason.PREDICT_ERROR: "Make `forward` work in eval mode for a batch of any size from 1 to 256.",
    FailureReason.NON_FINITE: "Lower the learning rate or normalise: the loss or the logits were not finite.",
    FailureReason.TIMEOUT: "Make the network cheaper, or raise the limit named in the message.",
    FailureReason.OUT_OF_MEMORY: "Use less memory, or raise `limits.memory_bytes`.",
    FailureReason.PIDS_LIMIT: "Start fewer processes and threads, or raise `limits.pids`.",
    FailureReason.DISK_LIMIT: "Write less to /tmp, or raise `limits.disk_bytes`.",
    FailureReason.OUTPUT_LIMIT: "Print less, or raise `limits.output_bytes`.",
    FailureReason.SIGNALLED: "A signal ended the process; look for native crashes or self-inflicted kills.",
    FailureReason.INVALID_RESULT: "`forward` must return one finite float tensor of shape (batch, classes), "
    "and nothing else may write to the result channel.",
    FailureReason.POLICY_VIOLATION: "Remove what the message names; the source rules forbid it.",
    FailureReason.INFRASTRUCTURE: "Nothing to change in the candidate: the platform failed and has retried.",
}


@dataclass(frozen=True)
class Failure:
    """One failure, for people and for counting.

    `phase` is set for timeouts, `resource` for memory. `message` and `location` may quote the guest:
    they are bounded, escaped and untrusted.
    """

    reason: FailureReason
    message: str
    phase: TimeoutPhase | None = None
    resource: MemoryResource | None = None
    location: str | None = None
    remedy: str = ""

    def __post_init__(self) -> None:
        if not self.remedy:
            object.__setattr__(self, "remedy", REMEDIES[self.reason])
