"""How training pairs are made: which networks are near, and what a pair is to a model. Streamed by lines.

The gateway knows how well networks did, the filter which of them are near or copies, the generator what
the delta between two of them is and how a model is asked for it.
"""

from dataclasses import dataclass
from typing import Any

from contracts.chats import ChatMessage

# --- gateway → filter --------------------------------------------------------------------------


@dataclass(frozen=True)
class NamedSource:
    """One line of what is to be compared: a source under an id of the caller's choice."""

    id: str
    source: str


@dataclass(frozen=True)
class NearPair:
    """Two of the sources, `first` < `second`, and the Jaccard index of their token shingles in [0, 1]."""

    first: str
    second: str
    jaccard: float


@dataclass(frozen=True)
class CopyOf:
    """A source that is the same architecture as an earlier one of the stream, up to names and layout."""

    id: str
    of: str


@dataclass(frozen=True)
class NearnessLine:
    """One line of the answer: exactly one field is set. The last line has `compared`, or `failed`."""

    progress: float | None = None
    """Now and then, so that nobody takes work for silence: about which share of it is done, in [0, 1]."""
    copy: CopyOf | None = None
    near: NearPair | None = None
    not_comparable: str | None = None
    """The id of a source that cannot be brought into canonical form."""
    compared: int | None = None
    """Last of all: how many sources were compared, without copies and what is not comparable."""
    failed: dict[str, Any] | None = None
    """A problem document: what came before is not all."""


# --- gateway → generator -----------------------------------------------------------------------


@dataclass(frozen=True)
class PairOrder:
    """One line of what is asked for: the chat that leads from a baseline to a target.

    Without a target, the mutation proposer makes one from `seed`.
    """

    id: str
    dataset: str
    baseline_source: str
    target_source: str | None = None
    seed: int = 0
    baseline_accuracy: float | None = None
    """First-epoch accuracy in [0, 1], which the prompt states."""


@dataclass(frozen=True)
class TrainingPair:
    """A chat whose last turn is the canonical delta from the baseline to the target, and nothing else.

    It stands there in the frame that the prompt asks for; `delta` is without.
    """

    id: str
    prompt_version: str
    messages: tuple[ChatMessage, ...]
    delta: str
    delta_lines: int
    """Lines of the canonical delta without its two file headers: hunk headers, context and changes."""
    changed_lines: int
    """Of these, the added and the removed ones."""
    summary: str = ""
    """What the mutation proposer says that it did."""


@dataclass(frozen=True)
class PairLeftOut:
    """An order that became no pair, with the reason as a code.

    `baseline_invalid`, `target_invalid` (a source breaks the rules), `contract_differs`, `no_mutation` (the
    proposer found none), `no_delta` (no code differs), `too_short`, `too_long`, `does_not_apply`.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class TrainingPairLine:
    """One line of the answer, in the order asked: exactly one field is set; the last: `made` or `failed`."""

    pair: TrainingPair | None = None
    left_out: PairLeftOut | None = None
    made: int | None = None
    failed: dict[str, Any] | None = None
    """A problem document: what came before is not all."""
