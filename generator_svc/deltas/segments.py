"""Explains the lines between two lines whose places are known.

A small alignment by dynamic programming (S. Needleman, C. Wunsch, J. Mol. Biol. 48, 1970) of a few lines
of a hunk with a few of the baseline: a line of context may be missing, misspelt, written twice, or not
context at all but an added line that lost its mark. Each costs something; nothing is removed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.effort import Effort
from generator_svc.deltas.prose import is_remark
from generator_svc.deltas.repetitions import is_echo, is_written_twice
from generator_svc.deltas.similarity import SHORT_KEY, bigrams, edit_likeness, likeness
from generator_svc.deltas.written import ADDED, REMOVED, Line

WHITE_SPACE = 0.2
"""A line that differs in white space alone."""
WHITE_SPACE_ALONE = 0.01
"""Of a line that has nothing else."""
FORGOTTEN_MARK = 1.5
"""A line without a mark that is no context: an added one."""
FORGOTTEN_MARK_OF_COMMENT = 1.0
FORGOTTEN_MARK_OF_KNOWN_LINE = 2.0
"""Of one that the baseline has elsewhere, as context has."""
MISTAKEN_MARK_OF_KNOWN_LINE = 4.0
"""Of one that the baseline has elsewhere and that is marked as context."""
WRITTEN_TWICE = 0.5
REMARK = 0.3
MISSING_LINE = 1.0
FURTHER_MISSING_LINE = 0.5
EACH_MISSING_LINE = 0.75
"""What one costs while alternatives are weighed; the price of all of them is `missing_cost`."""
MISSING_LINES_AT_MOST = 5.0
"""However far it is to the next line; beyond, distance says nothing."""
MISSING_BLANK = 0.05
SURPLUS_BLANK = 0.1
UNREMOVED_BLANK = 3.0
ELISION = 0.1

LEAST_LIKENESS = 0.35
GOOD_LIKENESS = 0.6
"""Below, short lines are compared once more, letter by letter."""
LETTERS_A_STEP = 16
"""Pairs of letters compared in the time of one step of `Effort`."""
MAX_GAP = 24
MAX_CELLS = 900
"""Lines of the hunk times lines of the baseline; above, nothing is taken for misspelt."""


class Step(Enum):
    """What happens to one line."""

    MATCH = auto()
    ADD = auto()
    DROP = auto()
    SKIP = auto()


@dataclass(frozen=True, slots=True)
class Move:
    """One step: `line` is an index into the hunk, `at` into the baseline (for ADD and DROP: what follows)."""

    step: Step
    line: int
    at: int


@dataclass(frozen=True)
class Segment:
    """The cheapest explanation of a few lines."""

    cost: float
    moves: tuple[Move, ...]


def misspelling_cost(likeness_found: float) -> float:
    """What it costs to take a line for another one that is so alike."""
    return 0.4 + 2.2 * (1 - likeness_found)


def missing_cost(count: int, elided: bool = False) -> float:
    """What so many lines cost that the hunk left out."""
    if not count:
        return 0.0
    if elided:
        return ELISION
    return min(MISSING_LINE + FURTHER_MISSING_LINE * (count - 1), MISSING_LINES_AT_MOST)


class Segments:
    """Explains segments of one hunk; remembers what was asked."""

    def __init__(self, lines: Sequence[Line], baseline: Baseline, effort: Effort) -> None:
        self._lines = lines
        self._baseline = baseline
        self._effort = effort
        self._bigrams: dict[int, frozenset[str]] = {}
        self._alone: dict[int, tuple[Step, float]] = {}
        self._matches: dict[tuple[int, int], float | None] = {}
        self._known: dict[tuple[int, int, int, int, bool, bool], Segment] = {}

    def explain(
        self,
        first: int,
        last: int,
        start: int,
        stop: int,
        *,
        open_start: bool = False,
        open_stop: bool = False,
    ) -> Segment:
        """Lines [first, last) of the hunk as [start, stop) of the baseline; an open end may stay unused."""
        asked = (first, last, start, stop, open_start, open_stop)
        found = self._known.get(asked)
        if found is None:
            self._effort.spend(1 + (last - first + stop - start) // 4)
            found = self._known[asked] = self._explain(*asked)
        return found

    def _explain(
        self, first: int, last: int, start: int, stop: int, open_start: bool, open_stop: bool
    ) -> Segment:
        lines = self._lines[first:last]
        if start == stop and all(line.mark == ADDED for line in lines):
            return Segment(0.0, tuple(Move(Step.ADD, index, start) for index in range(first, last)))
        blanks_differ = any(line.is_old and line.is_blank for line in lines)
        is_worth_it = start < stop and (blanks_differ or any(map(_needs_explanation, lines)))
        if stop - start > MAX_GAP or len(lines) * (stop - start) > MAX_CELLS or not is_worth_it:
            return self._without_misspellings(first, last, start, stop, open_start, open_stop)
        return self._aligned(first, last, start, stop, open_start, open_stop)

    def _without_misspellings(
        self, first: int, last: int, start: int, stop: int, open_start: bool, open_stop: bool
    ) -> Segment:
        """No line stands in between but blank ones and additions: those come first, then what was skipped."""
        baseline, cost, at = self._baseline, 0.0, start
        moves: list[Move] = []
        if open_start:
            at = stop
        elided = False
        for index in range(first, last):
            line = self._lines[index]
            if line.is_blank and line.is_old and at < stop and not baseline.keys[at]:
                moves.append(Move(Step.MATCH, index, at))
                at += 1
                continue
            step, price = self._unmatched(index)
            cost += price
            moves.append(Move(step, index, at))
            if line.is_elision:
                moves.extend(Move(Step.SKIP, -1, position) for position in range(at, stop))
                at, elided = max(at, stop), True
        if open_stop:
            return Segment(cost, tuple(moves))
        moves.extend(Move(Step.SKIP, -1, position) for position in range(at, stop))
        begin = stop if open_start else start
        visible = baseline.visible_between(begin, stop)
        blanks = sum(1 for move in moves if move.step is Step.SKIP) - visible
        cost += missing_cost(visible, elided) + (0.0 if elided else MISSING_BLANK * max(0, min(blanks, 10)))
        return Segment(cost, tuple(moves))

    def _aligned(
        self, first: int, last: int, start: int, stop: int, open_start: bool, open_stop: bool
    ) -> Segment:
        """The full table: rows are lines of the hunk, columns those of the baseline."""
        height, width = last - first, stop - start
        self._effort.spend((height + 1) * (width + 1))
        unmatched = [self._unmatched(index) for index in range(first, last)]
        after_elision = [False, *(self._lines[index].is_elision for index in range(first, last))]
        skipping = [[self._skip_price(at, elided) for at in range(start, stop)] for elided in (False, True)]
        table: list[list[float]] = []
        steps: list[list[Step | None]] = []
        for row in range(height + 1):
            above = table[-1] if row else []
            costs = [above[0] + unmatched[row - 1][1] if row else 0.0]
            taken: list[Step | None] = [unmatched[row - 1][0] if row else None]
            prices = skipping[after_elision[row]]
            matches = [self._matching(first + row - 1, at) for at in range(start, stop)] if row else []
            for column in range(1, width + 1):
                if not row:
                    costs.append(0.0 if open_start else costs[-1] + prices[column - 1])
                    taken.append(Step.SKIP)
                    continue
                best, step = above[column] + unmatched[row - 1][1], unmatched[row - 1][0]
                matching = matches[column - 1]
                if matching is not None and above[column - 1] + matching <= best:
                    best, step = above[column - 1] + matching, Step.MATCH
                # Of equals the skipped line comes last, so that additions stand before it.
                if costs[-1] + prices[column - 1] <= best:
                    best, step = costs[-1] + prices[column - 1], Step.SKIP
                costs.append(best)
                taken.append(step)
            table.append(costs)
            steps.append(taken)
        end = min(range(width, -1, -1), key=lambda column: table[height][column]) if open_stop else width
        moves = _traced(steps, height, end, open_start)
        placed = tuple(Move(m.step, m.line + first if m.line >= 0 else -1, m.at + start) for m in moves)
        skipped = sum(1 for m in placed if m.step is Step.SKIP and self._baseline.keys[m.at])
        rebate = 0.0 if any(after_elision) else skipped * EACH_MISSING_LINE - missing_cost(skipped)
        return Segment(table[height][end] - rebate, placed)

    def _skip_price(self, at: int, after_elision: bool) -> float:
        if after_elision:
            return 0.01
        return EACH_MISSING_LINE if self._baseline.keys[at] else MISSING_BLANK

    def _matching(self, index: int, at: int) -> float | None:
        """What it costs to take a line of the hunk for one of the baseline; None if it cannot be."""
        if (index, at) not in self._matches:
            self._matches[index, at] = self._match_price(index, at)
        return self._matches[index, at]

    def _match_price(self, index: int, at: int) -> float | None:
        line, key = self._lines[index], self._baseline.keys[at]
        if line.mark == ADDED or line.is_elision:
            return None
        if line.key == key:
            if line.text == self._baseline.lines[at]:
                return 0.0
            return WHITE_SPACE if key else WHITE_SPACE_ALONE
        if line.mark == REMOVED or not key or line.is_blank:
            return None
        alike = likeness(self._bigrams_of(index), self._baseline.bigrams_at(at))
        if alike < GOOD_LIKENESS and max(len(line.key), len(key)) <= SHORT_KEY:
            self._effort.spend(len(line.key) * len(key) // LETTERS_A_STEP)
            alike = max(alike, edit_likeness(line.key, key))
        return misspelling_cost(alike) if alike >= LEAST_LIKENESS else None

    def _unmatched(self, index: int) -> tuple[Step, float]:
        """What becomes of a line that has no place in the baseline, and at what price."""
        found = self._alone.get(index)
        if found is None:
            found = self._alone[index] = self._price_unmatched(index)
        return found

    def _price_unmatched(self, index: int) -> tuple[Step, float]:
        line = self._lines[index]
        if line.mark == ADDED:
            return Step.ADD, 0.0
        if line.is_elision:
            return Step.DROP, ELISION
        if line.is_blank:
            return Step.DROP, UNREMOVED_BLANK if line.mark == REMOVED else SURPLUS_BLANK
        if is_written_twice(self._lines, index) or is_echo(self._lines, index):
            return Step.DROP, WRITTEN_TWICE
        if not line.is_marked and is_remark(line.text):
            return Step.DROP, REMARK
        neighbours = self._lines[max(0, index - 1) : index + 2]
        is_respelt = any(other.mark == REMOVED and other.key == line.key for other in neighbours)
        if line.key in self._baseline.positions and not is_respelt:
            return Step.ADD, MISTAKEN_MARK_OF_KNOWN_LINE if line.is_marked else FORGOTTEN_MARK_OF_KNOWN_LINE
        return Step.ADD, FORGOTTEN_MARK_OF_COMMENT if line.key.startswith("#") else FORGOTTEN_MARK

    def _bigrams_of(self, index: int) -> frozenset[str]:
        found = self._bigrams.get(index)
        if found is None:
            found = self._bigrams[index] = bigrams(self._lines[index].key)
        return found


def _needs_explanation(line: Line) -> bool:
    return line.is_old and not line.is_blank and not line.is_elision


def _traced(steps: Sequence[Sequence[Step | None]], row: int, column: int, open_start: bool) -> list[Move]:
    """The way through the table, from its end back to its beginning and then turned round."""
    moves: list[Move] = []
    while row or column:
        step = steps[row][column]
        if step is Step.SKIP:
            column -= 1
            if row or not open_start:  # Before the first line of a hunk nothing was left out.
                moves.append(Move(Step.SKIP, -1, column))
        elif step is Step.MATCH:
            row, column = row - 1, column - 1
            moves.append(Move(Step.MATCH, row, column))
        else:
            row -= 1
            moves.append(Move(step or Step.DROP, row, column))
    return moves[::-1]
