"""All ways to lay one hunk onto the baseline, the cheapest first.

Where the old lines of a hunk follow each other in the baseline, white space aside, that is where they are.
Otherwise lines that stand in the baseline are chained in order (as in sparse sequence alignment:
D. Gusfield, Algorithms on Strings, Trees, and Sequences, 1997, chapter 13), and the lines between two
links are explained by `segments`. A removed line is always a link: it must match. Everything is bounded.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.effort import Effort
from generator_svc.deltas.segments import (
    MISSING_LINES_AT_MOST,
    WHITE_SPACE,
    WHITE_SPACE_ALONE,
    Move,
    Segment,
    Segments,
    Step,
    missing_cost,
)
from generator_svc.deltas.written import REMOVED, Line

MAX_PLACES = 64
"""Places kept for one hunk."""
MAX_LINES_PLACED = 20_000
"""Lines of a hunk times places kept."""
MAX_OCCURRENCES = 48
"""Places of one line that are tried."""
MAX_STATES = 16
"""Partial chains kept for each line."""
VARIANTS = 3
"""Partial chains kept that end at the same place but change different lines."""
LOOK_BACK = 5
"""Links back to which a chain may leap."""
NEXT_OCCURRENCES = 4
END_LINKS = 4
"""Links of a hunk at which a chain may begin or end."""
WORTH_KEEPING = 3.0
"""Dearer than the best by more than this, a place is no rival."""


@dataclass(frozen=True)
class Alignment:
    """One way to lay a hunk onto the baseline. `start` and `end` bound the lines that it covers."""

    cost: float
    moves: tuple[Move, ...]
    start: int
    end: int
    contiguous: bool
    """Every old line of the hunk stands there, one after the other."""
    exact: bool
    """And does so character by character."""


@dataclass(frozen=True, slots=True)
class _Chain:
    cost: float
    changes: int
    """A digest of what has been changed so far."""
    before: "_Chain | None"
    segment: Segment
    line: int
    at: int


def alignments(lines: Sequence[Line], baseline: Baseline, effort: Effort) -> list[Alignment]:
    """The places of a hunk, cheapest first, at most MAX_PLACES; empty if there is none.

    Raises DeltaRefused (too_large) when the effort is spent.
    """
    old = [index for index, line in enumerate(lines) if line.is_old]
    if not any(lines[index].key for index in old):
        return []
    effort.spend(len(lines) + len(baseline) // 100)
    runs = baseline.runs(
        [lines[index].key for index in old], max(2, min(MAX_PLACES, MAX_LINES_PLACED // len(lines)))
    )
    found = [contiguous(lines, start, baseline) for start in runs]
    if not found:
        found = _Chaining(lines, baseline, effort).alignments()
    return sorted(found, key=lambda alignment: (alignment.cost, alignment.start))


def contiguous(lines: Sequence[Line], start: int, baseline: Baseline) -> Alignment:
    """The hunk with all its old lines at `start`, one after the other."""
    moves: list[Move] = []
    at, cost, exact = start, 0.0, True
    for index, line in enumerate(lines):
        if not line.is_old:
            moves.append(Move(Step.ADD, index, at))
            continue
        moves.append(Move(Step.MATCH, index, at))
        if line.text != baseline.lines[at]:
            exact = False
            cost += WHITE_SPACE if line.key else WHITE_SPACE_ALONE
        at += 1
    return Alignment(cost, tuple(moves), start, at, contiguous=True, exact=exact)


class _Chaining:
    """The chains of one hunk."""

    def __init__(self, lines: Sequence[Line], baseline: Baseline, effort: Effort) -> None:
        self._lines = lines
        self._baseline = baseline
        self._effort = effort
        self._segments = Segments(lines, baseline, effort)
        self._removed = [i for i, line in enumerate(lines) if line.mark == REMOVED and line.key]
        self._places = self._places_of_lines()
        self._links = [index for index in range(len(lines)) if self._places.get(index)]

    def alignments(self) -> list[Alignment]:
        """The cheapest chains."""
        if any(index not in self._places for index in self._removed) or not self._links:
            return []
        states: dict[int, dict[int, list[_Chain]]] = {}
        for number, index in enumerate(self._links):
            reached: dict[int, list[_Chain]] = {}
            if number < END_LINKS and not self._removed_within(0, index):
                for at in self._places[index]:
                    self._begin(reached, index, at)
            for earlier in reversed(self._links[max(0, number - LOOK_BACK) : number]):
                if self._removed_within(earlier + 1, index):
                    break
                self._continue(reached, states[earlier], index)
            states[index] = _best_states(reached)
        return self._ended(states)

    def _begin(self, reached: dict[int, list[_Chain]], index: int, at: int) -> None:
        before = max(0, at - 2 * index - 1) if index else at
        segment = self._segments.explain(0, index, before, at, open_start=True)
        self._reach(reached, None, segment, index, at)

    def _continue(
        self, reached: dict[int, list[_Chain]], states: dict[int, list[_Chain]], index: int
    ) -> None:
        places = self._places[index]
        for at, chains in states.items():
            following = bisect_right(places, at)
            for place in places[following : following + NEXT_OCCURRENCES]:
                if place - at > 1 and not self._is_worth_a_look(chains[0], at, place, reached):
                    break
                segment = self._segments.explain(chains[0].line + 1, index, at + 1, place)
                for chain in chains:
                    self._reach(reached, chain, segment, index, place)

    def _is_worth_a_look(self, chain: _Chain, at: int, place: int, reached: dict[int, list[_Chain]]) -> bool:
        known = reached.get(place)
        if known is None or len(known) < VARIANTS:
            return True
        missing = self._baseline.visible_between(at + 1, place)
        return chain.cost + missing_cost(missing, elided=True) * 0.1 <= known[-1].cost

    def _reach(
        self, reached: dict[int, list[_Chain]], before: _Chain | None, segment: Segment, index: int, at: int
    ) -> None:
        self._effort.spend(1 + len(segment.moves) // 4)
        line = self._lines[index]
        cost = (before.cost if before else 0.0) + segment.cost
        cost += 0.0 if line.text == self._baseline.lines[at] else WHITE_SPACE
        changes = before.changes if before else 0
        added = [(move.line, self._visible_from(move.at)) for move in segment.moves if move.step is Step.ADD]
        if added:
            changes = hash((changes, *added))
        if line.mark == REMOVED:
            changes = hash((changes, -1, at))
        variants = reached.setdefault(at, [])
        same = next((number for number, chain in enumerate(variants) if chain.changes == changes), None)
        if same is not None:
            if variants[same].cost <= cost:
                return
            del variants[same]
        variants.append(_Chain(cost, changes, before, segment, index, at))
        variants.sort(key=lambda chain: chain.cost)
        del variants[VARIANTS:]

    def _visible_from(self, at: int) -> int:
        """Where an added line stands, blank lines aside."""
        return self._baseline.visible_before[at]

    def _ended(self, states: dict[int, dict[int, list[_Chain]]]) -> list[Alignment]:
        found: dict[int, Alignment] = {}
        size = len(self._lines)
        for index in self._links[-END_LINKS:]:
            if self._removed_within(index + 1, size):
                continue
            for at, chains in states[index].items():
                stop = (
                    min(len(self._baseline), at + 1 + 2 * (size - index - 1)) if index + 1 < size else at + 1
                )
                segment = self._segments.explain(index + 1, size, at + 1, stop, open_stop=True)
                added = tuple(
                    (move.line, self._visible_from(move.at))
                    for move in segment.moves
                    if move.step is Step.ADD
                )
                for chain in chains:
                    self._effort.spend(len(self._lines) // 4)
                    changes = hash((chain.changes, *added))
                    alignment = self._alignment(chain, segment)
                    if changes not in found or alignment.cost < found[changes].cost:
                        found[changes] = alignment
        best = min((alignment.cost for alignment in found.values()), default=0.0)
        worth = [alignment for alignment in found.values() if alignment.cost <= best + WORTH_KEEPING]
        return sorted(worth, key=lambda alignment: alignment.cost)[:MAX_PLACES]

    def _alignment(self, chain: _Chain, ending: Segment) -> Alignment:
        parts: list[tuple[Move, ...]] = [ending.moves]
        link: _Chain | None = chain
        while link is not None:
            parts.append((*link.segment.moves, Move(Step.MATCH, link.line, link.at)))
            link = link.before
        moves = tuple(move for part in reversed(parts) for move in part)
        matched = [move.at for move in moves if move.step is Step.MATCH]
        return Alignment(
            chain.cost + ending.cost, moves, matched[0], matched[-1] + 1, contiguous=False, exact=False
        )

    def _removed_within(self, start: int, stop: int) -> bool:
        return bisect_left(self._removed, start) < bisect_left(self._removed, stop)

    def _places_of_lines(self) -> dict[int, list[int]]:
        """For each old line the places worth trying: all of a rare one, of others those near a rare one."""
        positions = self._baseline.positions
        places = {
            index: positions[line.key]
            for index, line in enumerate(self._lines)
            if line.is_old and line.key in positions
        }
        if not places:
            return {}
        decisive = [index for index in self._removed if index in places] or list(places)
        pivots = sorted(decisive, key=lambda index: len(places[index]))[:END_LINKS]
        near = sorted({at for index in pivots for at in places[index][:MAX_OCCURRENCES]})
        reach = 2 * len(self._lines) + round(2 * MISSING_LINES_AT_MOST)
        nearby: dict[str, list[int]] = {}
        for index, found in places.items():
            key = self._lines[index].key
            if key not in nearby:
                self._effort.spend(len(near) if len(found) > MAX_OCCURRENCES else 1)
                nearby[key] = found if len(found) <= MAX_OCCURRENCES else _near(found, near, reach)
            places[index] = nearby[key]
        return places


def _near(positions: Sequence[int], near: Sequence[int], reach: int) -> list[int]:
    kept: set[int] = set()
    for at in near:
        low, high = bisect_left(positions, at - reach), bisect_right(positions, at + reach)
        kept.update(positions[low : min(high, low + MAX_OCCURRENCES)])
        if len(kept) > MAX_STATES * MAX_OCCURRENCES:
            break
    return sorted(kept)


def _best_states(reached: dict[int, list[_Chain]]) -> dict[int, list[_Chain]]:
    best = sorted(reached.items(), key=lambda item: item[1][0].cost)[:MAX_STATES]
    return dict(sorted(best))
