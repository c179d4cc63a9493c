"""Tells a delta that ends from one that was cut off.

A model that runs out of tokens stops in the middle. Half a change is another change, so what looks cut
is refused: where the last hunk ends in a change or promises more lines than it has, and nothing else
explains it.
"""

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.canonical import CONTEXT_LINES
from generator_svc.deltas.places import Place
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted
from generator_svc.deltas.written import ADDED, REMOVED, Line, WrittenHunk


def check_end(last: Place, baseline: Baseline, *, numbers_are_reliable: bool) -> None:
    """Raises DeltaRefused (truncated). `last` is the hunk that was written last."""
    hunk, lines = last.hunk, last.hunk.lines
    if may_be_half_a_line(hunk):
        raise _cut_off(last)
    if hunk.raw.counted or not lines:
        return
    is_at_end = last.end >= len(baseline)
    leading = _context(lines)
    trailing = _context(lines[::-1]) + hunk.is_broken
    is_rounded_off = is_at_end or trailing + _blank_lines_at(last.end, baseline) >= CONTEXT_LINES
    header = hunk.raw.header
    if header.old_count is None or header.new_count is None:
        if hunk.raw.cut and not is_rounded_off and trailing < leading:
            raise _cut_off(last)
        return
    missing_old = header.old_count - sum(line.is_old for line in lines) - hunk.is_broken
    missing_new = header.new_count - sum(line.mark != REMOVED for line in lines) - hunk.is_broken
    if missing_old <= 0 and missing_new <= 0:
        return
    is_balanced = missing_old == missing_new
    if hunk.raw.cut:
        only_context_is_missing = is_balanced and trailing and missing_old + trailing <= CONTEXT_LINES
        if not only_context_is_missing and (numbers_are_reliable or not is_rounded_off):
            raise _cut_off(last)
        return
    loses_additions = missing_old == 0 < missing_new and not trailing
    loses_a_change = not is_balanced or (not trailing and missing_old > CONTEXT_LINES)
    if numbers_are_reliable and (loses_additions or (loses_a_change and not is_rounded_off)):
        raise _cut_off(last)


def may_be_half_a_line(hunk: WrittenHunk) -> bool:
    """Whether the answer ends in an added line, without its line end and the end of the fence around it.

    The baseline tells whether half a line of context is one; what was to be added it cannot know. Without a
    fence a lost line end is no sign: answers are often stripped.
    """
    breaks_off = hunk.raw.cut and hunk.raw.broken and hunk.raw.enclosed
    return breaks_off and bool(hunk.lines) and hunk.lines[-1].mark == ADDED


def _context(lines: tuple[Line, ...]) -> int:
    """Lines before the first that is marked as a change."""
    return next((i for i, line in enumerate(lines) if line.mark in {ADDED, REMOVED}), len(lines))


def _blank_lines_at(start: int, baseline: Baseline) -> int:
    """Blank lines that a hunk may have ended with: at the end of an answer they are lost."""
    return next(
        (n for n in range(CONTEXT_LINES) if start + n >= len(baseline) or baseline.keys[start + n]), 3
    )


def _cut_off(last: Place) -> DeltaRefused:
    shown = next((line.text for line in reversed(last.hunk.lines) if line.key), "")
    return DeltaRefused(
        RefusalReason.TRUNCATED,
        f"hunk {last.hunk.number} breaks off after {quoted(shown)}: the answer seems cut off; send the whole "
        "delta again, as short as possible, with three lines of context after the last change",
        last.hunk.number,
    )
