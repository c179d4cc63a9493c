"""A conversation with a language model, as every chat interface spells it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatMessage:
    """One turn; `role` is system, user or assistant."""

    role: str
    content: str
