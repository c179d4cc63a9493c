"""Which chats a step learns from: decided by seed, epoch and lengths alone, so it can be told again. Pure.

Chats of similar length share a batch, and a batch is as wide as the next multiple of WIDTH: less is computed
on padding, and an allocator that keeps a buffer for every width it has met stays small.
"""

import math
import random
from collections.abc import Sequence

WIDTH = 64
"""Tokens."""
BATCHES_OF_A_BUCKET = 16

Batch = tuple[int, ...]


def steps_of(chats: int, batch: int, accumulation: int, epochs: int, max_steps: int | None) -> int:
    """How many optimizer steps a whole run has."""
    steps = epochs * steps_of_epoch(chats, batch, accumulation)
    return steps if max_steps is None else min(steps, max_steps)


def steps_of_epoch(chats: int, batch: int, accumulation: int) -> int:
    """How many optimizer steps go over every chat once."""
    return math.ceil(math.ceil(chats / batch) / accumulation)


def batches_of_epoch(lengths: Sequence[int], batch: int, seed: int, epoch: int) -> list[Batch]:
    """Every chat's index once, in batches of similar length, in an order drawn from seed and epoch."""
    draw = random.Random(f"{seed}/{epoch}")  # noqa: S311 - a shuffle, not a secret
    order = list(range(len(lengths)))
    draw.shuffle(order)
    size = batch * BATCHES_OF_A_BUCKET
    batches = []
    for start in range(0, len(order), size):
        bucket = sorted(order[start : start + size], key=lambda index: (lengths[index], index))
        batches += [tuple(bucket[first : first + batch]) for first in range(0, len(bucket), batch)]
    draw.shuffle(batches)
    return batches


def batches_of_step(
    lengths: Sequence[int], batch: int, accumulation: int, seed: int, step: int
) -> list[Batch]:
    """What optimizer step `step`, counted from 0 over all epochs, learns from."""
    per_epoch = steps_of_epoch(len(lengths), batch, accumulation)
    first = step % per_epoch * accumulation
    return batches_of_epoch(lengths, batch, seed, step // per_epoch)[first : first + accumulation]


def batches_in_order(lengths: Sequence[int], batch: int) -> list[Batch]:
    """Every chat's index once, by length: for measuring, where order does not matter."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    return [tuple(order[first : first + batch]) for first in range(0, len(order), batch)]


def padded_width(lengths: Sequence[int]) -> int:
    """Tokens that a batch of these lengths is wide."""
    return math.ceil(max(lengths) / WIDTH) * WIDTH
