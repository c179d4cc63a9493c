"""Refuses what a hunk leaves open although it has a place: lines that it does not give, marks, columns."""

import re
from itertools import pairwise

from generator_svc.deltas.baseline import ATTRIBUTE_SET, BLANK, Baseline, indent_of
from generator_svc.deltas.places import Place, unclear_line
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted
from generator_svc.deltas.segments import Move, Step
from generator_svc.deltas.written import ADDED, CONTEXT, REMOVED, Line, WrittenHunk

BRANCH = re.compile(r"\s*(?:def|class|async|if|elif|else|try|except|finally|for|while|with|case|match)\b")
"""Begins lines of which one may run without the other."""


def check_added_dots(hunk: WrittenHunk, baseline: Baseline) -> None:
    """Raises DeltaRefused (ambiguous): dots among the added lines stand for lines that nobody gave.

    Unless the counts include them.
    """
    if hunk.raw.counted:
        return
    for index, line in enumerate(hunk.lines):
        is_new = line.mark == ADDED and line.key not in baseline.positions
        if is_new and line.is_placeholder and not _is_body(hunk, index):
            raise _stands_for_lines(hunk, line)


def check_place(place: Place, baseline: Baseline) -> None:
    """Raises DeltaRefused: hunk_unplaceable, ambiguous."""
    _check_marks(place)
    _check_counted(place)
    _check_replaced(place, baseline)
    _check_anchors(place)
    _check_left_out(place, baseline)
    _check_dots(place)
    _check_indentation(place, baseline)


def _is_body(hunk: WrittenHunk, index: int) -> bool:
    """Whether dots are all that a block consists of, and the header promises no more lines than there are."""
    line, above = hunk.lines[index], hunk.lines[index - 1] if index else None
    if line.key != "..." or above is None or not above.text.rstrip().endswith(":"):
        return False
    new = [other for other in hunk.lines if other.mark != REMOVED]
    below = next((other for other in hunk.lines[index + 1 :] if other.mark != REMOVED and other.key), None)
    promised = hunk.raw.header.new_count
    is_whole = below is None or len(indent_of(below.text)) < len(indent_of(line.text))
    return is_whole and (promised is None or promised <= len(new))


def _check_marks(place: Place) -> None:
    """A hunk whose lines all lost their marks does not say which of them it adds or removes.

    Unless the counts of the header do, or its context has the space that the others lack.
    """
    hunk, header = place.hunk, place.hunk.raw.header
    moves = place.alignment.moves
    added = [hunk.lines[move.line] for move in moves if move.step is Step.ADD]
    if hunk.raw.is_marked or not added:
        return
    context = [hunk.lines[move.line] for move in moves if move.step is Step.MATCH]
    counts_agree = (header.old_count, header.new_count) == (len(context), len(hunk.lines))
    only_added_lack_marks = all(line.is_marked == (line not in added) for line in hunk.lines if line.key)
    if counts_agree or only_added_lack_marks:
        return
    raise DeltaRefused(
        RefusalReason.HUNK_UNPLACEABLE,
        f"no line of hunk {hunk.number} is marked as added or removed; begin added lines with `+`, "
        "removed ones with `-` and lines of context with a space",
        hunk.number,
    )


def _check_counted(place: Place) -> None:
    """Where the counts of the header bear out the marks, context that the baseline lacks is no addition."""
    if not place.hunk.raw.counted or not place.hunk.raw.is_marked:
        return
    for move in place.alignment.moves:
        line = place.hunk.lines[move.line]
        if move.step is Step.ADD and line.mark == CONTEXT and line.key:
            raise DeltaRefused(
                RefusalReason.HUNK_UNPLACEABLE,
                f"hunk {place.hunk.number} has {quoted(line.text)} as context, which stands nowhere near; "
                "begin that line with `+` if it is new, and copy context from the baseline",
                place.hunk.number,
            )


def _check_left_out(place: Place, baseline: Baseline) -> None:
    """A line added beside one that is left out and says the same was to change it or to stand for it."""
    run: list[Move] = []
    for move in (*place.alignment.moves, None):
        if move is not None and move.step is not Step.MATCH:
            run.append(move)
            continue
        left_out = {baseline.keys[skipped.at] for skipped in run if skipped.step is Step.SKIP} - {BLANK}
        for line in (place.hunk.lines[added.line] for added in run if added.step is Step.ADD):
            if line.key in left_out:
                raise DeltaRefused(
                    RefusalReason.AMBIGUOUS,
                    f"hunk {place.hunk.number} adds {quoted(line.text)} and leaves out that line of the "
                    "baseline; begin it with a space if it stays as it is, or write it with `-` as well",
                    place.hunk.number,
                )
        run = []


def _check_replaced(place: Place, baseline: Baseline) -> None:
    """A line without a mark that sets what an added one beside it sets anew was to go, not to stay.

    Unless the counts say that both stay, one is within another definition or branch, or the baseline itself
    sets it more than once.
    """
    if place.hunk.raw.counted:
        return
    setting: dict[str, tuple[Step, Line]] = {}
    for move in place.alignment.moves:
        line = place.hunk.lines[move.line]
        if move.step not in {Step.MATCH, Step.ADD} or line.mark == REMOVED:
            continue
        if BRANCH.match(line.text):
            setting.clear()
        found = ATTRIBUTE_SET.match(line.text)
        if found is None or found[1] in found[2]:
            continue
        step, other = setting.setdefault(found[1], (move.step, line))
        kept = line if move.step is Step.MATCH else other
        is_set_anew = step is not move.step and indent_of(other.text) == indent_of(line.text)
        if is_set_anew and not kept.is_marked and baseline.times_set[found[1]] == 1:
            raise DeltaRefused(
                RefusalReason.AMBIGUOUS,
                f"hunk {place.hunk.number} sets {found[1][:80]} anew and keeps {quoted(kept.text)}; begin "
                "that line with `-` if it goes, or else count it in the header",
                place.hunk.number,
            )


def _check_dots(place: Place) -> None:
    """Dots beside a change that stand for no line of the baseline stand for lines of that change."""
    lines, moves = place.hunk.lines, place.alignment.moves
    for (before, dots), (_, after) in pairwise(pairwise(moves)):
        is_elision = dots.step is Step.DROP and lines[dots.line].is_elision
        if not is_elision or Step.SKIP in {before.step, after.step}:
            continue
        if any(lines[beside.line].mark != CONTEXT or beside.step is Step.ADD for beside in (before, after)):
            raise _stands_for_lines(place.hunk, lines[dots.line])


def _check_anchors(place: Place) -> None:
    """Additions with nothing but dots or the hunk's end above and below them could stand anywhere."""
    lines = place.hunk.lines
    is_anchored, run = False, None
    for move in place.alignment.moves:
        line = lines[move.line]
        if move.step is Step.MATCH:
            is_anchored, run = True, None
        elif move.step is Step.ADD:
            run = run or (None if is_anchored else line)
        elif move.step is Step.DROP and line.is_elision:
            if run is not None:
                break
            is_anchored = False
    if run is not None:
        raise DeltaRefused(
            RefusalReason.AMBIGUOUS,
            f"hunk {place.hunk.number} adds {quoted(run.text)} with dots or nothing above and below it; give "
            "the line of the baseline directly above it or directly below it",
            place.hunk.number,
        )


def _check_indentation(place: Place, baseline: Baseline) -> None:
    text = unclear_line(place, baseline)
    if text is not None:
        raise DeltaRefused(
            RefusalReason.AMBIGUOUS,
            f"hunk {place.hunk.number} adds {quoted(text)}, and lines that it indents as far stand at "
            "different columns of the baseline; indent every line as the baseline does",
            place.hunk.number,
        )


def _stands_for_lines(hunk: WrittenHunk, line: Line) -> DeltaRefused:
    return DeltaRefused(
        RefusalReason.AMBIGUOUS,
        f"{quoted(line.text)} in hunk {hunk.number} stands for lines that the hunk does not give; write out "
        "every added line",
        hunk.number,
    )
