"""Puts the result together: baseline lines from the baseline itself, added lines from the hunks.

Hunks may share context, and one may repeat another. Where two of them say different things about the
same line or the same gap, they contradict each other, and the delta is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator_svc.deltas.baseline import Baseline, key_of
from generator_svc.deltas.edits import Added, Edits


@dataclass(frozen=True)
class Changes:
    """What all hunks together do: the lines that go, and the lines that come before each line."""

    removed: frozenset[int]
    inserted: Mapping[int, tuple[Added, ...]]


class Contradiction(Exception):
    """Two hunks cannot both be right. `hunks` are their indices, `line` a 0-based baseline line."""

    def __init__(self, hunks: tuple[int, int], line: int) -> None:
        super().__init__(f"hunks {hunks} about line {line}")
        self.hunks = hunks
        self.line = line


def merged(all_edits: Sequence[Edits], blocks: Sequence[int]) -> Changes:
    """All hunks together, each insertion at its first gap. Raises Contradiction.

    Hunks of one block may show as context what another one of them removes: each was written against
    the baseline. Across blocks that is taken for two versions of one change.
    """
    removed: dict[int, int] = {}
    kept: dict[int, int] = {}
    inserted: dict[int, int] = {}
    own = [_insertions(edits) for edits in all_edits]
    for number, edits in enumerate(all_edits):
        for gap, lines in own[number].items():
            other = inserted.setdefault(gap, number)
            if own[other][gap] != lines:
                raise Contradiction((other, number), gap)
        for at in sorted(edits.removed):
            other = removed.setdefault(at, number)
            if any(own[other].get(gap) != own[number].get(gap) for gap in (at, at + 1)):
                raise Contradiction((other, number), at)
            if at in kept and blocks[kept[at]] != blocks[number]:
                raise Contradiction((kept[at], number), at)
        for at in sorted(edits.kept):
            if at in removed and blocks[removed[at]] != blocks[number]:
                raise Contradiction((removed[at], number), at)
            kept[at] = number
    return Changes(frozenset(removed), {gap: own[number][gap] for gap, number in inserted.items()})


def _insertions(edits: Edits) -> dict[int, tuple[Added, ...]]:
    found: dict[int, tuple[Added, ...]] = {}
    for insertion in edits.insertions:
        gap = insertion.gaps[0]
        found[gap] = found.get(gap, ()) + insertion.lines
    return found


def spliced(lines: Sequence[str], changes: Changes) -> str:
    """The result. `lines` are the baseline's, with their newlines."""
    result: list[str] = []
    at = 0
    for gap in sorted(changes.inserted):
        result.extend(line for index, line in enumerate(lines[at:gap], at) if index not in changes.removed)
        added = changes.inserted[gap]
        result.extend(line.text if line.unended else line.text + "\n" for line in added)
        at = gap
    result.extend(line for index, line in enumerate(lines[at:], at) if index not in changes.removed)
    body = [line if line.endswith("\n") else line + "\n" for line in result[:-1]]
    return "".join((*body, *result[-1:]))


def visible_result(baseline: Baseline, edits: Edits) -> tuple[str, ...]:
    """The lines that one hunk alone would lead to, blank ones and what shows no difference aside."""
    changes = merged([edits], [0])
    result: list[str] = []
    at = 0
    for gap in sorted(changes.inserted):
        result.extend(baseline.lines[index] for index in range(at, gap) if index not in changes.removed)
        result.extend(line.text for line in changes.inserted[gap])
        at = gap
    result.extend(baseline.lines[index] for index in range(at, len(baseline)) if index not in changes.removed)
    return tuple(line for line in result if key_of(line))
