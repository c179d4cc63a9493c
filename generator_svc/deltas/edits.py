"""What a hunk changes once it is laid onto the baseline: lines that go, and lines that come at which gap.

A gap is named by the 0-based baseline line that follows it. Where the hunk left out context beside an
addition, the addition fits at more than one gap: then all of them are kept, for others to decide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from generator_svc.deltas.alignment import Alignment
from generator_svc.deltas.baseline import Baseline, indent_of, key_of
from generator_svc.deltas.canonical import CONTEXT_LINES
from generator_svc.deltas.segments import Move, Step
from generator_svc.deltas.similarity import bigrams, likeness
from generator_svc.deltas.written import ADDED, REMOVED, WrittenHunk

RESEMBLANCE = 0.5
MAX_COMPARED_LINES = 12

OPENS_BLOCK = ("def", "class", "async", "@")


@dataclass(frozen=True)
class Added:
    """One added line; `unended` if the file ends here without a newline."""

    text: str
    unended: bool = False


@dataclass(frozen=True)
class Insertion:
    """Lines to add, in order. `gaps` are the places that fit equally well, the likeliest first."""

    gaps: tuple[int, ...]
    lines: tuple[Added, ...]


@dataclass(frozen=True)
class Edits:
    """What one hunk does. `kept` are the baseline lines that it shows as unchanged."""

    removed: frozenset[int]
    kept: frozenset[int]
    insertions: tuple[Insertion, ...]

    @property
    def changes_nothing(self) -> bool:
        """Context alone."""
        return not self.removed and not self.insertions


def edits_of(
    hunk: WrittenHunk, alignment: Alignment, baseline: Baseline, respell: Callable[[str], str]
) -> Edits:
    """Read the changes off an alignment. `respell` corrects the text of added lines."""
    moves = _with_blanks_between_additions(alignment.moves, hunk)
    removed: set[int] = set()
    kept: set[int] = set()
    insertions: list[Insertion] = []
    index = 0
    while index < len(moves):
        move = moves[index]
        if move.step is Step.MATCH:
            (removed if hunk.lines[move.line].mark == REMOVED else kept).add(move.at)
        if move.step is not Step.ADD:
            index += 1
            continue
        end = _run_end(moves, index)
        added = [hunk.lines[m.line] for m in moves[index:end] if m.step is Step.ADD]
        texts = tuple(Added(respell(line.text), line.unended) for line in added)
        gaps = _Gaps(moves, index, end, hunk, baseline).fitting(texts)
        insertions.append(Insertion(gaps, texts))
        index = end
    return Edits(frozenset(removed), frozenset(kept), tuple(insertions))


def _with_blanks_between_additions(moves: Sequence[Move], hunk: WrittenHunk) -> list[Move]:
    """A blank line between two added ones that has no place in the baseline was added with them."""
    result = list(moves)
    for index in range(1, len(moves) - 1):
        move = moves[index]
        if move.step is not Step.DROP or not hunk.lines[move.line].is_blank:
            continue
        if hunk.lines[move.line].mark != REMOVED and result[index - 1].step is Step.ADD:
            following = next((m for m in moves[index + 1 :] if m.step is not Step.DROP), None)
            if following is not None and following.step is Step.ADD:
                result[index] = Move(Step.ADD, move.line, move.at)
    return result


def _run_end(moves: Sequence[Move], start: int) -> int:
    """The end of additions that follow each other, dropped lines between them aside."""
    end = start + 1
    for index in range(start + 1, len(moves)):
        if moves[index].step is Step.ADD:
            end = index + 1
        elif moves[index].step is not Step.DROP:
            break
    return end


class _Gaps:
    """The gaps at which one run of additions fits."""

    def __init__(
        self, moves: Sequence[Move], start: int, end: int, hunk: WrittenHunk, baseline: Baseline
    ) -> None:
        self._hunk = hunk
        self._baseline = baseline
        self._gap = moves[start].at
        self._before, above = self._slide(moves, range(start - 1, -1, -1))
        self._after, below = self._slide(moves, range(end, len(moves)))
        self._first, self._last = self._gap - above, self._gap + below
        self._is_first_change = not any(map(self._changes, moves[:start]))
        self._is_last_change = not any(map(self._changes, moves[end:]))

    def _slide(self, moves: Sequence[Move], indices: range) -> tuple[Move | None, int]:
        """The next line that has a place, and how many left-out lines lie before it."""
        skipped = 0
        for index in indices:
            move = moves[index]
            if move.step is Step.SKIP:
                skipped += 1
            elif move.step is Step.DROP and self._hunk.lines[move.line].is_elision:
                return None, 0
            elif move.step is not Step.DROP:
                return move, skipped
        return None, skipped

    def fitting(self, added: Sequence[Added]) -> tuple[int, ...]:
        """One gap where the neighbours decide, or only blank lines are in between; else all."""
        if self._first == self._last:
            return (self._gap,)
        baseline = self._baseline
        if not baseline.visible_between(self._first, self._last):
            return (self._among_blank_lines(added),)
        gaps = [gap for gap in range(self._first, self._last + 1) if self._is_beside_visible(gap)]
        named = self._named(gaps)
        if len(named) == 1:
            return tuple(named)
        if self._replaces(self._before, added):
            return (self._first,)
        if self._replaces(self._after, added):
            return (self._last,)
        return tuple(gaps)

    def _among_blank_lines(self, added: Sequence[Added]) -> int:
        """Beside what was removed; else with the line above, unless a new block opens."""
        if self._is_removal(self._before):
            return self._first
        if self._is_removal(self._after) or self._belongs_below(added):
            return self._last
        return self._first

    def _replaces(self, neighbour: Move | None, added: Sequence[Added]) -> bool:
        """Whether additions stand beside a removed line and resemble it or its like."""
        if not self._is_removal(neighbour) or neighbour is None:
            return False
        index = neighbour.line
        step = -1 if neighbour is self._before else 1
        removed: list[frozenset[str]] = []
        while 0 <= index < len(self._hunk.lines) and self._hunk.lines[index].mark == REMOVED:
            removed.append(bigrams(self._hunk.lines[index].key))
            index += step
        new = [bigrams(key_of(line.text)) for line in added[:MAX_COMPARED_LINES]]
        return any(
            likeness(one, other) >= RESEMBLANCE for one in removed[:MAX_COMPARED_LINES] for other in new
        )

    def _is_removal(self, move: Move | None) -> bool:
        return move is not None and move.step is Step.MATCH and self._hunk.lines[move.line].mark == REMOVED

    def _changes(self, move: Move) -> bool:
        return move.step is Step.ADD or self._is_removal(move)

    def _belongs_below(self, added: Sequence[Added]) -> bool:
        """Whether additions among blank lines go with the line below: where a new block opens."""
        first = next((line.text for line in added if line.text.strip()), "")
        above = next((line for line in reversed(self._baseline.lines[: self._first]) if line.strip()), "")
        return first.lstrip().startswith(OPENS_BLOCK) or len(indent_of(first)) < len(indent_of(above))

    def _is_beside_visible(self, gap: int) -> bool:
        """One gap is enough of those that only blank lines part."""
        return gap in {self._first, self._last} or bool(self._baseline.keys[gap - 1])

    def _named(self, gaps: Sequence[int]) -> list[int]:
        """Only the gap that the numbers of the header name, where they agree with what was found."""
        header = self._hunk.raw.header
        if header.start is None or header.old_count is None or header.new_count is None:
            return list(gaps)
        added = sum(line.mark == ADDED for line in self._hunk.lines)
        removed = sum(line.mark == REMOVED for line in self._hunk.lines)
        top, bottom = header.start - 1, header.start - 1 + header.old_count
        agree = header.new_count - header.old_count == added - removed
        if not (agree and top <= self._first and self._last <= bottom):
            return list(gaps)
        named: set[int] = set()
        if self._is_first_change and top > 0:
            named.add(top + CONTEXT_LINES)
        if self._is_last_change and bottom < len(self._baseline):
            named.add(bottom - CONTEXT_LINES)
        return sorted(named) if len(named) == 1 and named <= set(gaps) else list(gaps)
