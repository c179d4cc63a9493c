"""Training chats as the project makes them, each with another delta of one small network."""

import json

from mutation_sources import LITERAL_WIDTHS

from contracts.chats import ChatMessage
from generator_svc.deltas import canonical_delta
from generator_svc.prompts import delta_answer, delta_prompt


def chat(width: int, dataset: str = "cifar-10", source: str = LITERAL_WIDTHS) -> tuple[ChatMessage, ...]:
    """The chat that leads to a network which is `width` wide where this one has 32 channels."""
    delta = canonical_delta(source, source.replace("32", str(width)))
    return (*delta_prompt(source, dataset, 0.5), delta_answer(delta))


def body(settings: dict, *chats: tuple[str, tuple[ChatMessage, ...]]) -> bytes:
    """A job as it is sent: settings, then chats with their split."""
    lines = [settings]
    for split, messages in chats:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        lines.append({"split": split, "messages": turns})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
