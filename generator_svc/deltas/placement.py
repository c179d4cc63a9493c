"""Finds one place for each hunk, so that all of them together make sense.

What a hunk contains decides first; between places that fit about equally well, `choice` decides.
"""

from collections.abc import Sequence

from generator_svc.deltas.alignment import alignments, contiguous
from generator_svc.deltas.assembly import visible_result
from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.choice import Choice
from generator_svc.deltas.diagnosis import why_unplaceable
from generator_svc.deltas.effort import Effort
from generator_svc.deltas.places import HunkRefused, Place, hint_of, place_at, with_common_scale
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason
from generator_svc.deltas.written import WrittenHunk

MAX_SEARCHED_HUNKS = 512
NEARLY_EQUAL = 0.75
"""Places whose costs differ by less are rivals."""


def place_exactly(hunks: Sequence[WrittenHunk], baseline: Baseline) -> list[Place] | None:
    """All hunks where their headers say, line by line, in order and apart; None if one is not."""
    free = 0
    for hunk in hunks:
        start = hint_of(hunk)
        if start is None or start < free or not hunk.raw.counted or not all(x.is_marked for x in hunk.lines):
            return None
        old = tuple(line.text for line in hunk.lines if line.is_old)
        if baseline.lines[start : start + len(old)] != old or (not old and len(baseline)):
            return None
        free = start + len(old)
    return [place_at(hunk, contiguous(hunk.lines, hint_of(hunk) or 0, baseline), baseline) for hunk in hunks]


def place_hunks(hunks: Sequence[WrittenHunk], baseline: Baseline, effort: Effort) -> list[Place]:
    """One place for each hunk. Raises HunkRefused (hunk_unplaceable, ambiguous), DeltaRefused (too_large)."""
    if len(hunks) > MAX_SEARCHED_HUNKS:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE,
            f"not all of the {len(hunks)} hunks are where their headers say, and at most "
            f"{MAX_SEARCHED_HUNKS} are searched for; derive the delta again from the baseline",
        )
    rivals: list[list[Place]] = []
    for hunk in hunks:
        found = alignments(hunk.lines, baseline, effort)
        if not found:
            raise _unplaceable(hunk, baseline, [places[0] for places in rivals])
        best = found[0].cost
        effort.spend(len(found) * len(hunk.lines) // 4)
        near = [alignment for alignment in found if alignment.cost < best + NEARLY_EQUAL]
        rivals.append(
            _distinct([place_at(hunk, alignment, baseline) for alignment in near], baseline, effort)
        )
    return with_common_scale(Choice(hunks, rivals, baseline).made(), baseline)


def _unplaceable(hunk: WrittenHunk, baseline: Baseline, placed: Sequence[Place]) -> HunkRefused:
    if not any(line.is_old and line.key for line in hunk.lines):
        message = (
            f"hunk {hunk.number} only adds lines and names none of those around it; add lines of context"
        )
        return HunkRefused(hunk, RefusalReason.AMBIGUOUS, message, placed)
    return HunkRefused(hunk, RefusalReason.HUNK_UNPLACEABLE, why_unplaceable(hunk, baseline), placed)


def _distinct(places: Sequence[Place], baseline: Baseline, effort: Effort) -> list[Place]:
    """Of places that lead to the same code one is enough: the cheapest, or the one that the header names."""
    if len(places) == 1:
        return list(places)
    kept: dict[object, Place] = {}
    for place in places:
        effort.spend(len(baseline) // 16)
        result = visible_result(baseline, place.edits)
        if result not in kept or (place.at_hint and not kept[result].at_hint):
            kept[result] = place
    return list(kept.values())
