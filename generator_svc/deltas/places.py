"""One hunk laid onto the baseline at one place, and what it changes there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from generator_svc.deltas.alignment import Alignment
from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.edits import Edits, edits_of
from generator_svc.deltas.indentation import NO_INDENTS, Indents, Reindentation, common_scale, indents_of
from generator_svc.deltas.prose import is_remark
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason
from generator_svc.deltas.segments import Step
from generator_svc.deltas.written import REMOVED, Line, WrittenHunk


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


def hint_of(hunk: WrittenHunk) -> int | None:
    """The 0-based baseline line at which the header puts the hunk, if it does."""
    start = hunk.raw.header.start
    if start is None:
        return None
    return start - 1 if any(line.is_old for line in hunk.lines) else start


def _as_counted(hunk: WrittenHunk, alignment: Alignment) -> Alignment:
    """With repeated lines added rather than dropped, where the counts of the header say exactly that."""
    header = hunk.raw.header
    if header.old_count is None or header.new_count is None:
        return alignment
    repeated = [
        move for move in alignment.moves if move.step is Step.DROP and _is_repetition(hunk.lines[move.line])
    ]
    added = sum(move.step is Step.ADD for move in alignment.moves)
    removed = sum(line.mark == REMOVED for line in hunk.lines)
    wanted = header.new_count - header.old_count + removed
    if not repeated or added == wanted or added + len(repeated) != wanted:
        return alignment
    moves = tuple(replace(move, step=Step.ADD) if move in repeated else move for move in alignment.moves)
    return replace(alignment, moves=moves)


def _is_repetition(dropped: Line) -> bool:
    """Whether a line that has no place says what another one says, and is neither dots nor a remark."""
    return bool(dropped.key) and not dropped.is_elision and (dropped.is_marked or not is_remark(dropped.text))


def place_at(hunk: WrittenHunk, alignment: Alignment, baseline: Baseline) -> Place:
    """A hunk, laid onto the baseline as an alignment says."""
    alignment = _as_counted(hunk, alignment)
    indents = NO_INDENTS if alignment.exact else _indents(hunk, alignment, baseline)
    reindent = Reindentation(indents, baseline, common_scale([indents], baseline))
    edits = edits_of(hunk, alignment, baseline, reindent)
    at_hint = alignment.contiguous and alignment.start == hint_of(hunk)
    return Place(hunk, alignment, edits, at_hint)


def unclear_line(place: Place, baseline: Baseline) -> str | None:
    """The first added line of which nobody knows how far it is to be indented."""
    if place.alignment.exact:
        return None
    reindent = Reindentation(_indents(place.hunk, place.alignment, baseline), baseline)
    added = (place.hunk.lines[move.line].text for move in place.alignment.moves if move.step is Step.ADD)
    return next(filter(reindent.is_unclear, added), None)


def with_common_scale(places: list[Place], baseline: Baseline) -> list[Place]:
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


def _indents(hunk: WrittenHunk, alignment: Alignment, baseline: Baseline) -> Indents:
    matched = (
        (hunk.lines[move.line], move.at)
        for move in alignment.moves
        if move.step is Step.MATCH and hunk.lines[move.line].key == baseline.keys[move.at]
    )
    old = ((line.text, baseline.lines[at]) for line, at in matched)
    return indents_of(old, (line.text for line in hunk.lines))
