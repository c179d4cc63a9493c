"""Says why a hunk fits nowhere: the line that it expects, and the real line that comes nearest.

For people and for the repair prompt of a model. Bounded: it looks at a few places and a few lines,
never at everything, and it decides nothing.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import islice

from generator_svc.deltas.hunks import Hunk
from generator_svc.deltas.refusals import quoted

MAX_PLACES = 20
"""Places tried as the intended one."""
MAX_NEIGHBOURS = 60
"""Baseline lines compared with a missing one."""
COMPARED_CHARACTERS = 100

REMEDY = "copy context and removed lines from the baseline exactly"


def why_unplaceable(hunk: Hunk, lines: Sequence[str], occupied_until: int) -> str:
    """A sentence with hunk, expected line, nearest real line and remedy.

    `occupied_until` is the 0-based baseline line at which the hunk before ends.
    """
    known = set(lines)
    missing = next((line for line in hunk.old if line not in known), None)
    if missing is not None:
        nearest = _nearest(hunk, missing, lines)
        return f"hunk {hunk.number} expects the line {quoted(missing)}, {nearest}; {REMEDY}"
    start, agreed = _best_start(hunk, lines)
    if agreed == len(hunk.old):
        return (
            f"hunk {hunk.number} fits at line {start + 1} of the baseline, but that is not free: the hunks "
            f"before reach to line {occupied_until}, or one after it starts there; put the hunks in the "
            "order of the baseline and merge those that share lines"
        )
    return (
        f"hunk {hunk.number} expects the line {quoted(hunk.old[agreed])} as its line {agreed + 1}, "
        f"{_real_line(lines, start + agreed)}; {REMEDY}, leaving none out"
    )


def _nearest(hunk: Hunk, missing: str, lines: Sequence[str]) -> str:
    expected_at = (hunk.hint or 0) + hunk.old.index(missing)
    low = max(0, min(expected_at - MAX_NEIGHBOURS // 2, len(lines) - MAX_NEIGHBOURS))
    window = range(low, min(low + MAX_NEIGHBOURS, len(lines)))
    matcher = SequenceMatcher(None, autojunk=False)
    matcher.set_seq2(missing.strip()[:COMPARED_CHARACTERS])
    best, best_ratio = None, 0.5
    for index in window:
        matcher.set_seq1(lines[index].strip()[:COMPARED_CHARACTERS])
        if matcher.quick_ratio() > best_ratio and (ratio := matcher.ratio()) > best_ratio:
            best, best_ratio = index, ratio
    if best is None:
        return "which the baseline does not have"
    return f"but the nearest real line is line {best + 1}, {quoted(lines[best])}"


def _best_start(hunk: Hunk, lines: Sequence[str]) -> tuple[int, int]:
    """The start at which most of the hunk's first lines agree, and how many do."""
    starts = list(islice((index for index, line in enumerate(lines) if line == hunk.old[0]), MAX_PLACES))
    if hunk.hint is not None and hunk.hint < len(lines):
        starts.insert(0, hunk.hint)
    return max(((start, _agreement(hunk, lines, start)) for start in starts), key=lambda found: found[1])


def _agreement(hunk: Hunk, lines: Sequence[str], start: int) -> int:
    agreed = 0
    for expected, real in zip(hunk.old, lines[start : start + len(hunk.old)], strict=False):
        if expected != real:
            break
        agreed += 1
    return agreed


def _real_line(lines: Sequence[str], index: int) -> str:
    if index >= len(lines):
        return f"but the baseline ends at line {len(lines)}"
    return f"but line {index + 1} of the baseline is {quoted(lines[index])}"
