"""What every language model must offer. Proposers speak to this; the words of prompts are not known here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.chats import ChatMessage
from contracts.names import MAX_DELTA_BYTES
from contracts.proposals import ModelWeights

MAX_ANSWER_BYTES = MAX_DELTA_BYTES
"""An answer is cut here, whatever a model goes on to say."""


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. The defaults are those of arXiv 2605.04903."""

    temperature: float = 0.35
    top_p: float = 0.9
    top_k: int | None = 50
    """Sent to those endpoints alone that know it."""
    max_tokens: int = 1024


@dataclass(frozen=True)
class ChatRequest:
    """One conversation to continue. `key` names it among those of one call."""

    key: int
    messages: tuple[ChatMessage, ...]
    seed: int
    question: str = ""
    """The same wherever the same asker asks this again; who names it settles what tries at it took
    (`paid_tries`). Without one, seed and messages name it until it is answered."""
    patience_seconds: float | None = None
    """As `contracts.proposals.ProposalRequest.patience_seconds`."""


@dataclass(frozen=True)
class ChatAnswer:
    """What a model said, bounded and untrusted, and what it took."""

    key: int
    text: str
    finish_reason: str
    """`stop`; `length` (max_tokens); `too_long` (MAX_ANSWER_BYTES) and `timeout` are ours;
    `prompt_too_long`, `no_choice`, `content_filter` and `generation_failed` come with little text or none."""
    model: str
    """As `contracts.proposals.ModelCall.model`."""
    adapter: str | None
    sampling: dict[str, float | int | str | bool | None]
    """As it was really sent or used, the seed among it."""
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    seconds: float
    tokens_estimated: bool = False
    """As `contracts.proposals.ModelCall.tokens_estimated`."""
    weights: ModelWeights | None = None
    """Of a local model."""


class ChatModel(Protocol):
    """Answers conversations. Safe to call from several threads at a time."""

    def check(self) -> None:
        """Raise HeldUp if it is known without asking for an answer that none would come."""
        ...

    def answers(self, requests: Sequence[ChatRequest], sampling: Sampling) -> Iterator[ChatAnswer]:
        """One answer for each request, as they arrive, in any order.

        A model that says nothing of use has answered. Raises HeldUp when no more answers can come; those
        given before stand.
        """
        ...
