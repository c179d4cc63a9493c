"""A trace attempt: the network is built and its `forward` written down, on shapes alone; nothing is trained.

What comes back is a graph that was made beside the candidate's code. It is read strictly and bounded here;
what it says stays the guest's word (docs/decisions/0022-a-graph-is-the-guests-word.md).
"""

import json
from dataclasses import dataclass, replace

from contracts.computation_graph import GraphMalformed, graph_from, graph_text
from contracts.guest_wire import MAX_TRACE_BYTES, FrameKind
from contracts.jobs import AttemptSpec
from contracts.names import Integrity
from sandbox_runner.channel import Lengths
from sandbox_runner.conversation import Conversation
from sandbox_runner.phases import Phase
from sandbox_runner.stops import GuestStopped, Stop, StopKind
from sandbox_runner.untrusted_text import quoted

TRACED_BATCH = 2
"""Images that `forward` is shown: batch normalisation refuses a single one."""
MAX_REASON_CHARACTERS = 2000


@dataclass(frozen=True)
class Traced:
    """The guest's word: a graph, or why there is none."""

    claimed_graph: str | None
    not_traceable: str | None


def trace_spec(spec: AttemptSpec, available: int) -> AttemptSpec:
    """What a trace asks of the guest, where the data set has so many training images.

    The batch is the same for all, so that graphs can be compared; no GPU is lent to what computes nothing.
    """
    batch = min(TRACED_BATCH, available)
    return replace(
        spec,
        epochs=1,
        train_images=batch,
        hyperparameters={**spec.hyperparameters, "batch": batch},
        integrity=Integrity.STANDARD,
        device="cpu",
    )


def hear_trace(guest: Conversation) -> Traced:
    """What the guest says once its network is built. Raises GuestStopped."""
    guest.enter(Phase.TRACING)
    traced = traced_from(guest.hear(FrameKind.TRACED, Lengths(2, MAX_TRACE_BYTES)))
    guest.finish()
    return traced


def traced_from(payload: bytes) -> Traced:
    """Read a TRACED frame. Raises GuestStopped: malformed."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"graph": str(text), **others} if not others:
            return Traced(_canonical(text), None)
        case {"not_traceable": str(reason), **others} if not others:
            return Traced(None, quoted(reason, MAX_REASON_CHARACTERS))
    raise _malformed("the trace is neither a graph nor a reason why there is none")


def _canonical(text: str) -> str:
    try:
        return graph_text(graph_from(text))
    except GraphMalformed as error:
        raise _malformed(str(error)) from error


def _malformed(message: str) -> GuestStopped:
    return GuestStopped(Stop(StopKind.MALFORMED, message))
