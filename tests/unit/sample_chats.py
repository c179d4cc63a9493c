"""Training chats as the project makes them, each with another delta of one small network."""

import json

from contracts.chats import ChatMessage
from generator_svc.deltas import canonical_delta
from generator_svc.prompts import delta_answer, delta_prompt

NETWORK = """import torch.nn as nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.stem = nn.Conv2d(in_shape[1], 16, 3, padding=1)
        self.body = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(32 * 4, out_shape[0])

    def forward(self, x):
        x = nn.functional.relu(self.stem(x))
        x = self.pool(nn.functional.relu(self.body(x)))
        return self.head(x.flatten(1))
"""


def chat(width: int, dataset: str = "cifar-10", source: str = NETWORK) -> tuple[ChatMessage, ...]:
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
