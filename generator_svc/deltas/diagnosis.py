"""Says why a hunk fits nowhere: the line that it expects, and the real line that comes nearest.

For people and for the repair prompt of a model. Bounded: it looks at a few hundred lines, and it decides
nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.canonical import source_lines
from generator_svc.deltas.extract import sections_of
from generator_svc.deltas.hunks import read_hunks
from generator_svc.deltas.refusals import DeltaRefused, quoted
from generator_svc.deltas.similarity import bigrams, likeness
from generator_svc.deltas.written import REMOVED, Line, WrittenHunk, read_lines

MAX_NEIGHBOURS = 400
"""Baseline lines compared with a missing one."""
LEAST_LIKENESS = 0.4
MAX_VOTERS = 60
MAX_VOTES = 12
MAX_WINDOW = 14
"""Lines of a hunk that say where it belongs, places of each that count, and lines shown of one place."""

REMEDY = "copy removed lines and context from the baseline exactly"


def why_unplaceable(hunk: WrittenHunk, baseline: Baseline) -> str:
    """A sentence with hunk, expected line, nearest real line and remedy."""
    old = [line for line in hunk.lines if line.is_old and line.key]
    missing = _first_missing([line for line in old if line.mark == REMOVED], baseline)
    what = "removes"
    if missing is None and not any(line.key in baseline.positions for line in old):
        missing, what = old[0], "expects"
    if missing is None:
        return (
            f"hunk {hunk.number} names lines that the baseline has, but nowhere in this order; {REMEDY}, in "
            "their order and leaving none out"
        )
    at = nearest_line(missing.key, baseline, hunk.raw.header.start)
    nearest = "which the baseline does not have"
    if at is not None:
        nearest = f"but the nearest real line is line {at + 1}, {quoted(baseline.lines[at])}"
    return f"hunk {hunk.number} {what} the line {quoted(missing.text)}, {nearest}; {REMEDY}"


def nearest_line(key: str, baseline: Baseline, hint: int | None) -> int | None:
    """The 0-based baseline line most alike a key, around a 1-based hint; None if none is."""
    expected_at = hint or 0
    low = max(0, min(expected_at - MAX_NEIGHBOURS // 2, len(baseline) - MAX_NEIGHBOURS))
    wanted = bigrams(key)
    window = range(low, min(low + MAX_NEIGHBOURS, len(baseline)))
    found = max(window, key=lambda at: likeness(wanted, baseline.bigrams_at(at)), default=None)
    if found is None or likeness(wanted, baseline.bigrams_at(found)) < LEAST_LIKENESS:
        return None
    return found


def _first_missing(lines: Sequence[Line], baseline: Baseline) -> Line | None:
    return next((line for line in lines if line.key not in baseline.positions), None)


@dataclass(frozen=True)
class FailedHunk:
    """A refused hunk as it was written, and the parts of the baseline that come nearest to it."""

    written: tuple[str, ...]
    baseline: tuple[str, ...]
    windows: tuple[tuple[int, int], ...]
    """0-based (start, stop) of baseline lines, the nearest first; at most two, apart from each other."""


def failed_hunk(baseline_source: str, delta: str, number: int) -> FailedHunk | None:
    """Hunk `number` (1-based) of a delta; None if the delta has none such. Never raises."""
    baseline = Baseline([line.removesuffix("\n") for line in source_lines(baseline_source)])
    try:
        raw = read_hunks(sections_of(delta), baseline)
    except DeltaRefused:
        return None
    hunk = next((hunk for hunk in raw if hunk.number == number), None)
    if hunk is None:
        return None
    windows = _nearest_windows(read_lines(hunk, baseline), baseline)
    return FailedHunk(hunk.lines, baseline.lines, tuple(windows))


def _nearest_windows(hunk: WrittenHunk, baseline: Baseline) -> list[tuple[int, int]]:
    """Where most lines of the hunk stand, each voting for the start that it implies, rare lines more."""
    votes: Counter[int] = Counter()
    old = [line for line in hunk.lines if line.is_old][:MAX_VOTERS]
    for index, line in enumerate(old):
        found = baseline.positions.get(line.key, [])
        if (
            not found
            and line.key
            and (near := nearest_line(line.key, baseline, hunk.raw.header.start)) is not None
        ):
            found = [near]
        for at in found[:MAX_VOTES]:
            votes[max(0, at - index)] += 12 // min(len(found), 12)
    windows: list[tuple[int, int]] = []
    missing = _first_missing([line for line in old if line.mark == REMOVED], baseline)
    nearest = None if missing is None else nearest_line(missing.key, baseline, hunk.raw.header.start)
    if nearest is not None:
        windows.append((max(0, nearest - 3), min(len(baseline), nearest + 4)))
    for start, _ in votes.most_common():
        if len(windows) == 2:
            break
        low, high = max(0, start - 2), min(len(baseline), start + min(len(old), MAX_WINDOW) + 3)
        if all(high < top or low > end for top, end in windows):
            windows.append((low, high))
        elif nearest is not None:
            return [(min(low, windows[0][0]), max(high, windows[0][1]))]
    return windows
