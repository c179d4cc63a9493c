"""Recognises context that says something a second time: itself, or what was just added."""

from collections.abc import Sequence

from generator_svc.deltas.written import ADDED, CONTEXT, Line

REACH = 4
"""Lines that are repeated as one."""


def is_written_twice(lines: Sequence[Line], index: int) -> bool:
    """Whether a line lies in context that is repeated at once: one line or a block of them."""
    return any(
        _repeats(lines[start : start + size], lines[start + size : start + 2 * size])
        for size in range(1, REACH + 1)
        for start in range(max(0, index - 2 * size + 1), index + 1)
    )


def is_echo(lines: Sequence[Line], index: int) -> bool:
    """Whether a line lies in context that repeats what was added directly above it."""
    return any(
        _echoes(lines[start - size : start], lines[start : start + size])
        for size in range(1, REACH + 1)
        for start in range(max(size, index - size + 1), index + 1)
    )


def _repeats(above: Sequence[Line], below: Sequence[Line]) -> bool:
    """Whether both are the same context, marked in the same way."""
    return len(above) == len(below) and all(
        one.mark == other.mark == CONTEXT and one.key == other.key and one.is_marked == other.is_marked
        for one, other in zip(above, below, strict=True)
    )


def _echoes(above: Sequence[Line], below: Sequence[Line]) -> bool:
    """Whether added lines stand once more below themselves, marked as context."""
    return len(above) == len(below) and all(
        one.mark == ADDED and other.mark == CONTEXT and other.is_marked and one.key == other.key
        for one, other in zip(above, below, strict=True)
    )
