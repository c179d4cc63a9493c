"""An answer as it grows out of the events of a stream, or one document: bounded, whatever these hold. Pure.

Events are the SDK's objects or decoded JSON of any form: nothing of them is trusted to have its type.
"""

from dataclasses import dataclass, field
from typing import Any

from generator_svc.language_models.endpoint_failures import without_key
from generator_svc.language_models.port import MAX_ANSWER_BYTES

CHARACTERS_OF_A_TOKEN = 4
"""About, where nobody has counted."""
_MAX_FINISH_REASON = 40
_MAX_TOKENS = 10**9


@dataclass
class AnswerReading:
    """What has been said so far."""

    pieces: list[str] = field(default_factory=list)
    size: int = 0
    finish_reason: str = ""
    has_choice: bool = False
    is_chat: bool = False
    """Whether anything of an answer's form has come."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def is_too_long(self) -> bool:
        """Whether more than MAX_ANSWER_BYTES were said."""
        return self.size > MAX_ANSWER_BYTES

    @property
    def tokens_come(self) -> int:
        """Of the answer so far: as the endpoint counts them, else about as many as the pieces and letters."""
        if self.completion_tokens is not None:
            return self.completion_tokens
        return max(len(self.pieces), self.size // CHARACTERS_OF_A_TOKEN)

    def add(self, event: object) -> None:
        """Take in one event of a stream, or the whole answer."""
        choices = _part(event, "choices")
        if isinstance(choices, list):
            self.is_chat = True
            for choice in choices[:1]:
                self._add_choice(choice)
        usage = _part(event, "usage")
        if usage is not None:
            self.prompt_tokens = _tokens(_part(usage, "prompt_tokens"), self.prompt_tokens)
            self.completion_tokens = _tokens(_part(usage, "completion_tokens"), self.completion_tokens)

    def _add_choice(self, choice: object) -> None:
        turn = _part(choice, "delta")
        turn = _part(choice, "message") if turn is None else turn
        self.has_choice = self.has_choice or turn is not None
        if said := _said(_part(turn, "content")):
            self.pieces.append(said)
            # At most what it will take; a surrogate pair may be split between two pieces.
            self.size += len(said.encode("utf-8", "surrogatepass"))
        reason = _part(choice, "finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = _plain(reason)

    def text(self, key: str | None) -> str:
        """All that was said, at most MAX_ANSWER_BYTES in UTF-8, without the key and what no store takes."""
        whole = "".join(self.pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        said = without_key(whole, key).replace("\0", "\ufffd")
        return said.encode()[:MAX_ANSWER_BYTES].decode(errors="ignore")


def _part(thing: object, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


def _said(content: object) -> str:
    """A text, or the texts among its parts: some servers tell thoughts apart so."""
    if isinstance(content, list):
        texts = (_part(part, "text") for part in content if _part(part, "type") == "text")
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _tokens(value: object, before: int | None) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS
    return value if usable else before  # type: ignore[return-value]


def _plain(word: str) -> str:
    return "".join(c for c in word[:_MAX_FINISH_REASON] if c.isalnum() or c in "_-. ") or "unknown"
