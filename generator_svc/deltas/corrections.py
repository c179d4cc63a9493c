"""Undoes what editors, web pages and terminals do to text: look-alike characters, entities, line numbers.

A correction is made only on evidence: more of the old lines must stand in the baseline with it than
without. Added lines then get the same correction. Most apply to a whole delta or not at all; how far the
text stands from its mark may differ from hunk to hunk.
"""

import re
from collections.abc import Iterable, Sequence

from generator_svc.deltas.baseline import Baseline, indent_of
from generator_svc.deltas.hunks import RawHunk
from generator_svc.deltas.rewrites import (
    CLOSER,
    ENTITIES,
    ENTITY,
    FARTHER,
    LINE_NUMBERS_AFTER_MARKS,
    LINE_NUMBERS_IN_FRONT,
    OF_ALL_HUNKS,
    Correction,
)

LONE_AMPERSAND = re.compile(r"&(?!(?:[a-z]{2,8}|#x?[0-9a-fA-F]{1,6});)")

MAX_LINES = 5_000
"""Longer deltas are not corrected: no network of a usual size needs one."""


def corrected(hunks: Sequence[RawHunk], baseline: Baseline) -> tuple[list[RawHunk], list[str]]:
    """The hunks with all corrections that help, and the names of these."""
    applied: list[str] = []
    hunks = list(hunks)
    is_long = sum(len(hunk.lines) for hunk in hunks) > MAX_LINES
    is_fine = is_long or all(_fits(hunk, baseline) for hunk in hunks)
    for correction in (ENTITIES,) if is_fine else (*OF_ALL_HUNKS, _best_gutter(hunks, baseline)):
        candidate = [correction.hunk(hunk) for hunk in hunks]
        if candidate != hunks and _helps(correction, candidate, hunks, baseline):
            hunks = candidate
            applied.append(correction.name)
    for correction in () if is_long else (CLOSER, FARTHER):
        helped = [_is_better(correction, hunk, baseline) for hunk in hunks]
        if correction is CLOSER and not any(map(_has_removed, hunks)):
            helped = [_is_odd_throughout(hunk, baseline) for hunk in hunks]
        for index, hunk in enumerate(hunks):
            if helped[index] or (any(helped) and _is_odd_without(correction, hunk, baseline)):
                hunks[index] = correction.hunk(hunk)
                applied.append(correction.name)
    return hunks, list(dict.fromkeys(applied))


def _helps(
    correction: Correction, candidate: Sequence[RawHunk], hunks: Sequence[RawHunk], baseline: Baseline
) -> bool:
    before, after = _evidence(hunks, baseline), _evidence(candidate, baseline)
    return after > before or (correction is ENTITIES and after == before and _escaped_throughout(hunks))


def _best_gutter(hunks: Sequence[RawHunk], baseline: Baseline) -> Correction:
    """The way to drop line numbers that explains most; of equals, the one that leaves marks in front."""
    has_marks = any(line.startswith(("+", "-")) for hunk in hunks for line in hunk.lines)
    likely, other = LINE_NUMBERS_IN_FRONT, LINE_NUMBERS_AFTER_MARKS
    if has_marks:
        likely, other = other, likely
    return max((*likely, *other), key=lambda each: _evidence(map(each.hunk, hunks), baseline))


def _is_better(correction: Correction, hunk: RawHunk, baseline: Baseline) -> bool:
    """Whether marks stand at another distance from the text while context is as it should be."""
    has_removed = _has_removed(hunk)
    if has_removed and _fits(hunk, baseline):
        return False
    context = [line for line in hunk.lines if line.strip() and not line.startswith(("+", "-"))]
    bare = sum(line in baseline.exact for line in context)
    right = bare if correction is FARTHER else sum(line[1:] in baseline.exact for line in context)
    candidate = correction.hunk(hunk)
    if candidate == hunk or 2 * right < len(context):
        return False
    if right == len(context) and not has_removed:
        return correction is FARTHER and bare > 0 and _is_odd_without(correction, hunk, baseline)
    return _evidence([candidate], baseline) > _evidence([hunk], baseline)


def _is_odd_without(correction: Correction, hunk: RawHunk, baseline: Baseline) -> bool:
    """Whether nothing but its added lines speaks for a correction: their indentation."""
    if _has_removed(hunk):
        return False
    return not _is_usual(hunk, baseline) and _is_usual(correction.hunk(hunk), baseline)


def _is_odd_throughout(hunk: RawHunk, baseline: Baseline) -> bool:
    """Whether every added line stands one column beside a whole level, and context as it should."""
    added = [line[1:] for line in hunk.lines if line.startswith("+") and line[1:].strip()]
    context = [line[1:] for line in hunk.lines if line.strip() and not line.startswith("+")]
    fits = all(text in baseline.exact for text in context)
    return (
        bool(added and context) and fits and all(len(indent_of(t)) % baseline.indent_unit == 1 for t in added)
    )


def _is_usual(hunk: RawHunk, baseline: Baseline) -> bool:
    """Whether every added line begins at a whole level, or where some line of the baseline does."""
    widths = {len(indent_of(line[1:])) for line in hunk.lines if line.startswith("+") and line[1:].strip()}
    return all(baseline.is_level(width) or width in baseline.indent_widths for width in widths)


def _evidence(hunks: Iterable[RawHunk], baseline: Baseline) -> tuple[int, int]:
    """How many old lines the baseline knows; where that is equal, how many it has character by character."""
    known = exact = 0
    for hunk in hunks:
        for line in hunk.lines:
            if line.startswith("+"):
                continue
            text = line[1:] if line.startswith(("-", " ")) else line
            if text in baseline.exact and text.strip():
                known, exact = known + 1, exact + 1
            elif baseline.is_known(text):
                known += 1
                exact += line in baseline.exact and not line.startswith("-")
            elif line.startswith("-") and text.strip():
                known -= 1
    return known, exact


def _fits(hunk: RawHunk, baseline: Baseline) -> bool:
    """Whether every old line stands in the baseline character by character, after its mark or without one."""
    return all(
        line.startswith("+")
        or (line.startswith(("-", " ")) and line[1:] in baseline.exact)
        or (line in baseline.exact and not line.startswith("-"))
        or not line.strip(" -")
        for line in hunk.lines
    )


def _has_removed(hunk: RawHunk) -> bool:
    return any(line.startswith("-") for line in hunk.lines)


def _escaped_throughout(hunks: Iterable[RawHunk]) -> bool:
    """No character that HTML escapes is left bare: then all were escaped."""
    return not any(
        "<" in line or ">" in line or LONE_AMPERSAND.search(line) for hunk in hunks for line in hunk.lines
    )


def doubtful_entity(hunks: Sequence[RawHunk], baseline: Baseline) -> tuple[int, str] | None:
    """The first added line that may mean an entity or the character it stands for, and its hunk's number.

    It may where the baseline has no entity and no line of the delta has a character that HTML escapes.
    """
    added = (
        (hunk.number, line[1:])
        for hunk in hunks
        for line in hunk.lines
        if "&" in line and line.startswith("+") and ENTITY.search(line)
    )
    found = next(added, None)
    if found is None or not _escaped_throughout(hunks) or any(map(ENTITY.search, baseline.lines)):
        return None
    return found
