"""The result of a symbolic run."""

from dataclasses import dataclass
from enum import StrEnum

Span = tuple[int, int, int, int]
"""First line (1-based), first column, last line, end column; columns in UTF-8 bytes, as `ast` counts."""


class Verdict(StrEnum):
    """What a symbolic run shows."""

    PROVEN = "proven"
    INCONSISTENT = "inconsistent"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Trace:
    """What happened."""

    verdict: Verdict


def trace_source(source: str, in_shape: tuple[int, int, int, int], classes: int) -> Trace:
    """Placeholder until the interpreter lands."""
    return Trace(Verdict.UNDECIDED)
