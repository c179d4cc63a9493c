"""Chooses one place for each hunk, so that all of them together make sense.

What a hunk contains decides first. Between places that fit about equally well and give different
results, the other hunks decide (a diff goes from top to bottom), then what stands behind the second
`@@`, then the numbers. If none of them decides, nothing is guessed: the delta is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from generator_svc.deltas.alignment import MAX_PLACES, Alignment, alignments, contiguous
from generator_svc.deltas.assembly import visible_result
from generator_svc.deltas.baseline import Baseline, key_of
from generator_svc.deltas.diagnosis import why_unplaceable
from generator_svc.deltas.edits import Edits, edits_of
from generator_svc.deltas.effort import Effort
from generator_svc.deltas.indentation import NO_INDENTS, Indents, Reindentation, common_scale, indents_of
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason
from generator_svc.deltas.segments import Step
from generator_svc.deltas.written import REMOVED, WrittenHunk

MAX_SEARCHED_HUNKS = 512
NEARLY_EQUAL = 0.75
"""Places whose costs differ by less are rivals."""


@dataclass(frozen=True)
class Place:
    """One hunk laid onto the baseline."""

    hunk: WrittenHunk
    alignment: Alignment
    edits: Edits
    at_hint: bool
    """Where the header says, with every line of it."""
    decided_by: str = ""
    """What decided between rivals; empty if there were none."""

    @property
    def is_reindented(self) -> bool:
        """Whether an added line got another indentation than it was written with."""
        written = {line.text for line in self.hunk.lines}
        return any(line.text not in written for added in self.edits.insertions for line in added.lines)

    @property
    def start(self) -> int:
        """The first baseline line that the hunk covers, 0-based."""
        return self.alignment.start

    @property
    def end(self) -> int:
        """The baseline line after the last that it covers."""
        return self.alignment.end


class HunkRefused(DeltaRefused):
    """One hunk has no place of its own. `placed` are the places that the others would have had."""

    def __init__(
        self, hunk: WrittenHunk, reason: RefusalReason, message: str, placed: Sequence[Place]
    ) -> None:
        super().__init__(reason, message, hunk.number)
        self.placed = tuple(placed)


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
    return [_place(hunk, contiguous(hunk.lines, hint_of(hunk) or 0, baseline), baseline) for hunk in hunks]


def hint_of(hunk: WrittenHunk) -> int | None:
    """The 0-based baseline line at which the header puts the hunk, if it does."""
    start = hunk.raw.header.start
    if start is None:
        return None
    return start - 1 if any(line.is_old for line in hunk.lines) else start


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
        rivals.append(_distinct([_place(hunk, alignment, baseline) for alignment in near], baseline, effort))
    return _with_common_scale(_Choice(hunks, rivals, baseline).made(), baseline)


def _unplaceable(hunk: WrittenHunk, baseline: Baseline, placed: Sequence[Place]) -> HunkRefused:
    if not any(line.is_old and line.key for line in hunk.lines):
        message = (
            f"hunk {hunk.number} only adds lines and names none of those around it; add lines of context"
        )
        return HunkRefused(hunk, RefusalReason.AMBIGUOUS, message, placed)
    return HunkRefused(hunk, RefusalReason.HUNK_UNPLACEABLE, why_unplaceable(hunk, baseline), placed)


def _as_counted(hunk: WrittenHunk, alignment: Alignment) -> Alignment:
    """With repeated lines added rather than dropped, where the counts of the header say exactly that."""
    header = hunk.raw.header
    if header.old_count is None or header.new_count is None:
        return alignment
    repeated = [
        move
        for move in alignment.moves
        if move.step is Step.DROP and (line := hunk.lines[move.line]).key and not line.is_elision
    ]
    added = sum(move.step is Step.ADD for move in alignment.moves)
    removed = sum(line.mark == REMOVED for line in hunk.lines)
    wanted = header.new_count - header.old_count + removed
    if not repeated or added == wanted or added + len(repeated) != wanted:
        return alignment
    moves = tuple(replace(move, step=Step.ADD) if move in repeated else move for move in alignment.moves)
    return replace(alignment, moves=moves)


def _place(hunk: WrittenHunk, alignment: Alignment, baseline: Baseline) -> Place:
    alignment = _as_counted(hunk, alignment)
    indents = NO_INDENTS if alignment.exact else _indents(hunk, alignment, baseline)
    reindent = Reindentation(indents, baseline, common_scale([indents], baseline))
    edits = edits_of(hunk, alignment, baseline, reindent)
    at_hint = alignment.contiguous and alignment.start == hint_of(hunk)
    return Place(hunk, alignment, edits, at_hint)


def _indents(hunk: WrittenHunk, alignment: Alignment, baseline: Baseline) -> Indents:
    matched = (
        (hunk.lines[move.line], move.at)
        for move in alignment.moves
        if move.step is Step.MATCH and hunk.lines[move.line].key == baseline.keys[move.at]
    )
    old = ((line.text, baseline.lines[at]) for line, at in matched)
    return indents_of(old, (line.text for line in hunk.lines))


def _with_common_scale(places: list[Place], baseline: Baseline) -> list[Place]:
    """Where all hunks together show levels of another width, one that does not by itself has them too."""
    if all(place.alignment.exact for place in places):
        return places
    indents = [_indents(place.hunk, place.alignment, baseline) for place in places]
    scale = common_scale(indents, baseline)
    if scale is None:
        return places
    respelt = [Reindentation(own, baseline, scale) for own in indents]
    return [
        replace(place, edits=edits_of(place.hunk, place.alignment, baseline, reindent))
        for place, reindent in zip(places, respelt, strict=True)
    ]


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


class _Choice:
    """The decision between rivals."""

    def __init__(self, hunks: Sequence[WrittenHunk], rivals: list[list[Place]], baseline: Baseline) -> None:
        self._hunks = hunks
        self._rivals = rivals
        self._baseline = baseline

    def made(self) -> list[Place]:
        """One place for each hunk. Raises HunkRefused (ambiguous)."""
        self._decide("the order of the hunks", self._by_order)
        self._decide("the heading of the hunk", self._by_heading)
        self._decide("the line number", self._by_number)
        self._decide("the order of the hunks", self._by_order)
        self._decide_by_sequence()
        for hunk, rivals in zip(self._hunks, self._rivals, strict=True):
            if len(rivals) > 1:
                raise self._ambiguous(hunk, rivals)
        return [rivals[0] for rivals in self._rivals]

    def _decide(self, name: str, choose: Callable[[int], list[Place]]) -> None:
        for index, rivals in enumerate(self._rivals):
            if len(rivals) > 1 and len(kept := choose(index)) == 1:
                (place,) = kept
                self._rivals[index] = [replace(place, decided_by=name)]

    def _decide_by_sequence(self) -> None:
        """Where only one choice for all hunks together keeps them in order and apart, that is it.

        Each as early as possible and each as late as possible are two such choices, and all lie in between.
        """
        if all(len(rivals) == 1 for rivals in self._rivals):
            return
        early: list[Place] = []
        late: list[Place] = []
        for rivals in self._rivals:
            free = early[-1].end if early else 0
            early += sorted((p for p in rivals if p.start >= free), key=lambda p: (p.end, p.start))[:1]
        for rivals in reversed(self._rivals):
            bound = late[-1].start if late else len(self._baseline)
            late += sorted((p for p in rivals if p.end <= bound), key=lambda p: (-p.start, -p.end))[:1]
        if len(early) == len(late) == len(self._rivals) and early == late[::-1]:
            self._rivals = [
                rivals if len(rivals) == 1 else [replace(place, decided_by="the order of the hunks")]
                for rivals, place in zip(self._rivals, early, strict=True)
            ]

    def _by_order(self, index: int) -> list[Place]:
        """Those that leave room for what stands above and below; all, if the hunks are in no order."""
        firm = [(i, places[0]) for i, places in enumerate(self._rivals) if len(places) == 1]
        if any(earlier.start > later.start for (_, earlier), (_, later) in pairwise(firm)):
            return self._rivals[index]
        low = max((place.end for i, place in firm if i < index), default=0)
        high = min((place.start for i, place in firm if i > index), default=len(self._baseline))
        fitting = [place for place in self._rivals[index] if low <= place.start and place.end <= high]
        return fitting or self._rivals[index]

    def _by_heading(self, index: int) -> list[Place]:
        """Those below the one line that the heading quotes, nearest first above them."""
        heading = key_of(self._hunks[index].raw.header.heading)
        at = self._baseline.positions.get(heading, []) if heading else []
        if not at:
            return self._rivals[index]
        below = [place for place in self._rivals[index] if place.start >= at[0]]
        if len(at) > 1 or not below:
            return self._rivals[index]
        return below

    def _by_number(self, index: int) -> list[Place]:
        """The one that stands where the header says, or as far from it as all sure ones do."""
        hint = hint_of(self._hunks[index])
        if hint is None:
            return self._rivals[index]
        offsets = {
            places[0].start - other
            for i, places in enumerate(self._rivals)
            if len(places) == 1 and i != index and (other := hint_of(self._hunks[i])) is not None
        }
        if len(offsets) > 1:
            return self._rivals[index]
        offset = next(iter(offsets), 0)
        return [place for place in self._rivals[index] if place.start == hint + offset]

    def _ambiguous(self, hunk: WrittenHunk, rivals: Sequence[Place]) -> HunkRefused:
        first, second = sorted(rivals, key=lambda place: place.start)[:2]
        more = (
            ""
            if len(rivals) == 2
            else f" and {'many' if len(rivals) == MAX_PLACES else len(rivals) - 2} more"
        )
        where = f"at lines {first.start + 1} and {second.start + 1}{more} of the baseline"
        message = (
            f"hunk {hunk.number} fits equally well {where}; add context lines until only one place fits, "
            "or correct the line number after `@@ -`"
        )
        firm = [places[0] for places in self._rivals if len(places) == 1]
        return HunkRefused(hunk, RefusalReason.AMBIGUOUS, message, firm)
