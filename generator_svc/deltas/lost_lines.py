"""Finds lines of a change that stand in no hunk: to pass over them would be to apply half of a delta."""

import re
from collections.abc import Iterable

from generator_svc.deltas.baseline import Baseline, key_of
from generator_svc.deltas.prose import is_prose
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted

ADDED_CODE = re.compile(r"^\+(?:\t|[ ]{4}|[A-Za-z_@#])")
"""Outside of fences other lines with a plus are points of a list."""
HEADERS = ("---", "+++")


def looks_lost(line: str, enclosed: bool, baseline: Baseline) -> bool:
    """Whether a line that belongs to no hunk adds or removes code; `enclosed` in a fence or tag."""
    if not line.startswith(("+", "-")) or line.startswith(HEADERS) or not line[1:].strip() or is_prose(line):
        return False
    if line.startswith("-"):
        return baseline.is_known(line[1:])
    return enclosed or ADDED_CODE.match(line) is not None


def check_lost(lost: Iterable[str], in_hunks: Iterable[str]) -> None:
    """Raises DeltaRefused (ambiguous) unless every lost line only repeats one of a hunk."""
    said = {line[:1] + key_of(line[1:]) for line in in_hunks if line.startswith(("+", "-"))}
    for line in lost:
        if line[:1] + key_of(line[1:]) not in said:
            verb = "added" if line.startswith("+") else "removed"
            raise DeltaRefused(
                RefusalReason.AMBIGUOUS,
                f"the {verb} line {quoted(line[1:].strip())} stands apart from every hunk, and nothing says "
                "where it belongs; put it into a hunk, between the lines of context around it",
            )
