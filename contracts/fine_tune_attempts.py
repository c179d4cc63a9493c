"""What a host that trains, its agent and the gateway say about attempts at long fine-tunes."""

from dataclasses import dataclass, field

from contracts.fine_tuning import FineTuneEvent, FineTuneFailure, FineTuneResult, FineTuneStatus


@dataclass(frozen=True)
class TrainingHost:
    """What an agent tells of its host with each heartbeat."""

    slots: int
    """Fine-tunes at a time; 0: it drains."""
    models: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of the weights of each model that it can train, by the model's name."""
    queue: str = ""
    """Where in the broker it hears of attempts (a `contracts.dispatch.Resource`); empty: it asks here."""
    borrowed: tuple[str, ...] = ()
    """Jobs that its generator still keeps chats, checkpoints or an adapter of."""
    gpus: int = 0
    """On which it trains."""


@dataclass(frozen=True)
class Forgettable:
    """The answer to a heartbeat: jobs that have ended, so that nothing of them need be kept."""

    forget: tuple[str, ...]


@dataclass(frozen=True)
class ClaimedFineTune:
    """An attempt that an agent holds under a lease, with its own token."""

    attempt_id: str
    fine_tune_id: str
    fence: int
    """Grows with each attempt at the job."""
    parent_adapter: str | None
    token: str
    lease_seconds: float


@dataclass(frozen=True)
class TrainingNews:
    """How the job stands at the host. With `status` None it is not there yet."""

    status: FineTuneStatus | None = None
    begins_after: int = 0
    """The host's last event of the job before this attempt: not told again."""
    events: tuple[FineTuneEvent, ...] = ()
    """In order, without a gap after the last that the gateway has seen."""


@dataclass(frozen=True)
class LeaseKept:
    """The answer to the heartbeat of an attempt."""

    cancel: bool
    """The job was cancelled; the attempt is over."""
    events_seen: int
    """The host's last event that is on disk at the gateway."""


@dataclass(frozen=True)
class FineTuneOutcome:
    """How an attempt ended: with a result whose adapter was delivered, or with a failure."""

    news: TrainingNews
    result: FineTuneResult | None = None
    failure: FineTuneFailure | None = None
