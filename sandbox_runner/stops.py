"""Why a guest came to its end, as the host saw it. `verdicts` makes the one failure out of it."""

from dataclasses import dataclass
from enum import Enum, auto


class StopKind(Enum):
    """What ended the conversation with the guest."""

    EXITED = auto()
    """Its first process ended before the answer was complete."""
    FAILED = auto()
    """It sent a FAILED frame; `payload` holds it."""
    MALFORMED = auto()
    """It sent something else than what it was to send, or closed its channel."""
    NOT_FINITE = auto()
    """Its answer holds NaN or infinity."""
    MEMORY = auto()
    """The kernel killed for memory."""
    PHASE_TIMEOUT = auto()
    """The CPU budget, or the limit of the start or of a prediction batch, ran out."""
    WALL_TIMEOUT = auto()
    OUTPUT = auto()
    CANCELLED = auto()


@dataclass(frozen=True)
class Stop:
    """The end of the conversation. `message` is the host's own text."""

    kind: StopKind
    message: str = ""
    payload: bytes = b""


class GuestStopped(Exception):
    """Raised out of the conversation when the guest cannot go on or must not."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.message)
        self.stop = stop
