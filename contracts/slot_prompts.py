"""What a language model would be told to propose for a slot, for those who propose from outside."""

from dataclasses import dataclass

from contracts.chats import ChatMessage


@dataclass(frozen=True)
class SlotPrompt:
    """The chat for one slot. It quotes the baseline and what was tried: untrusted, fenced and bounded."""

    slot: int
    prompt_version: str
    messages: tuple[ChatMessage, ...]
