"""Chats as tokens: what is read, and where the answer begins that is learnt."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.chats import ChatMessage
from contracts.fine_tuning import TrainingChat

Turns = Sequence[ChatMessage]


@dataclass(frozen=True)
class EncodedChat:
    """The tokens of a whole chat, its end of turn the last one. Those from `answer_start` on are learnt."""

    tokens: Sequence[int]
    """Packed, where there are many: a tuple takes nine times as much."""
    answer_start: int

    @property
    def answer_tokens(self) -> int:
        """How many tokens are learnt."""
        return len(self.tokens) - self.answer_start


@dataclass(frozen=True)
class ChatEncoder:
    """How a model's tokenizer writes chats."""

    prompt_tokens: Callable[[Turns], Sequence[int]]
    """All turns up to where the model begins to speak."""
    answer_tokens: Callable[[str], Sequence[int]]
    control_tokens: frozenset[int]
    end_of_turn: int

    def encode(self, chat: TrainingChat, max_length: int) -> EncodedChat | str:
        """A chat of at most `max_length` tokens, or the reason why it is left out.

        None is cut: what is learnt of half an answer is to write half an answer.
        """
        prompt = tuple(self.prompt_tokens(chat.messages[:-1]))
        answer = tuple(self.answer_tokens(chat.messages[-1].content))
        if not self.control_tokens.isdisjoint(answer):
            return "control_token_in_answer"
        if len(prompt) + len(answer) + 1 > max_length:
            return "too_long"
        return EncodedChat(array("i", (*prompt, *answer, self.end_of_turn)), len(prompt))


@dataclass(frozen=True)
class PaddedBatch:
    """Some chats side by side, filled up to one width on the right, which causal attention ignores."""

    tokens: list[list[int]]
    first: int
    """Logits are needed from this position on …"""
    stop: int
    """… to before this one."""
    targets: list[list[int]]
    """For each position from `first` to `stop` the token that follows it; IGNORED where none is learnt."""
    answer_tokens: int


IGNORED = -100


def padded(chats: Sequence[EncodedChat], width: int, filler: int) -> PaddedBatch:
    """The batch of some chats."""
    first = min(chat.answer_start for chat in chats) - 1
    stop = max(len(chat.tokens) for chat in chats) - 1
    return PaddedBatch(
        tokens=[[*chat.tokens, *[filler] * (width - len(chat.tokens))] for chat in chats],
        first=first,
        stop=stop,
        targets=[
            [
                chat.tokens[at + 1] if chat.answer_start <= at + 1 < len(chat.tokens) else IGNORED
                for at in range(first, stop)
            ]
            for chat in chats
        ],
        answer_tokens=sum(chat.answer_tokens for chat in chats),
    )
