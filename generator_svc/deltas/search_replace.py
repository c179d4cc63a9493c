"""Reads `<<<<<<< SEARCH … ======= … >>>>>>> REPLACE` blocks as hunks."""

from collections.abc import Sequence

from generator_svc.deltas.refusals import DeltaRefused, RefusalReason

OPENING, DIVIDER, CLOSING = "<<<<<<<", "=======", ">>>>>>>"


def is_search(line: str) -> bool:
    """Whether a block begins here."""
    return line.startswith(OPENING)


def read_search_replace(lines: Sequence[str], start: int) -> tuple[tuple[str, ...], int]:
    """The lines of the hunk that the block at `start` stands for, and where the block ends.

    Raises DeltaRefused (truncated) for a block that is not whole: nothing says then where its halves end.
    """
    divider = _find(lines, DIVIDER, start + 1)
    closing = _find(lines, CLOSING, divider + 1)
    if closing >= len(lines):
        missing = CLOSING if divider < len(lines) else DIVIDER
        raise DeltaRefused(
            RefusalReason.TRUNCATED,
            f"a `{OPENING} SEARCH` block has no line that begins with `{missing}`: the answer seems cut off; "
            "send all blocks again, as short as possible",
        )
    return tuple(_hunk_lines(lines[start + 1 : divider], lines[divider + 1 : closing])), closing + 1


def _find(lines: Sequence[str], beginning: str, start: int) -> int:
    return next(
        (index for index in range(start, len(lines)) if lines[index].startswith(beginning)), len(lines)
    )


def _hunk_lines(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """What both halves begin and end with is context; all between is replaced."""
    shortest = min(len(old), len(new))
    head = next((i for i in range(shortest) if old[i] != new[i]), shortest)
    tail = next((i for i in range(shortest - head) if old[-1 - i] != new[-1 - i]), shortest - head)
    return [
        *(" " + line for line in old[:head]),
        *("-" + line for line in old[head : len(old) - tail]),
        *("+" + line for line in new[head : len(new) - tail]),
        *(" " + line for line in old[len(old) - tail :]),
    ]
