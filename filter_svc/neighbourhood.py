"""The architectures of one scope in memory, ready to be compared with. Not thread-safe: its owner locks.

Sketches say of each how near it can be at most. Whoever can be among the nearest is compared exactly,
those with the best prospects first; nobody else needs to be. So the answer is that of comparing with
every one, down to the threshold. Below it, where nothing is a copy, the nearest are those whose
sketches look nearest.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from filter_svc.bitmaps import Numbers, Rows
from filter_svc.fingerprints import Fingerprint, Hashes, Outline, jaccards
from filter_svc.sketches import Sketches

LIKELY = 256
"""So many that look nearest at a glance are looked at more closely,"""
FIRST_COMPARED = 16
"""and so many of these compared exactly, whatever comes of it."""
COMPARED_A_STEP = 32
"""At first; twice as many with each step that has not sufficed."""

Candidate = tuple[float, str, int]
"""How near it can be at most, negated; its id and its row. Sorts as what is found does."""
ShinglesOf = Callable[[Sequence[str]], list[Hashes]]
"""Fetches the shingles of some architectures."""


@dataclass(frozen=True)
class Compared:
    """An architecture and what comparing it exactly has shown."""

    proposal_id: str
    label: str
    jaccard: float
    same_digest: bool


class Neighbourhood:
    """Outlines by proposal id."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._labels: list[str] = []
        self._digests: list[bytes] = []
        self._structures: list[bytes | None] = []
        self._sketches = Sketches()
        self._by_structure: dict[bytes, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, proposal_id: str, label: str, structure: bytes | None, outline: Outline) -> None:
        """Add an architecture, or replace the one of that id."""
        self._remove(proposal_id)
        self._rows[proposal_id] = len(self._ids)
        self._ids.append(proposal_id)
        self._labels.append(label)
        self._digests.append(outline.digest)
        self._structures.append(structure)
        self._sketches.append(outline.sketch, outline.size)
        if structure is not None:
            self._by_structure[structure].add(proposal_id)

    def with_structure(self, structure: bytes) -> tuple[str, ...]:
        """The ids of those that have this structure, sorted."""
        return tuple(sorted(self._by_structure.get(structure, ())))

    def nearest(
        self, made: Fingerprint, threshold: float, exclude: str, most: int, shingles_of: ShinglesOf
    ) -> list[Compared]:
        """The nearest, at most so many; nearest first, ids breaking ties.

        Those that reach the threshold are exactly those that comparing with every one would find.
        """
        at_most, about = self._sketches.glance(made.sketch, len(made.shingles))
        same = [row for row in np.flatnonzero(at_most >= 1.0).tolist() if self._digests[row] == made.digest]
        excluded = self._rows.get(exclude)
        found = [self._same(row) for row in same if row != excluded]
        closed = set(same) if excluded is None else {*same, excluded}
        about[list(closed)] = -1.0
        likely = _highest(about, LIKELY)
        likely = likely[about[likely] >= 0.0]
        first = likely[_highest(self._sketches.likeness(likely, made.sketch), FIRST_COMPARED)].tolist()
        found += self._compared(made, first, shingles_of)
        found.sort(key=_nearness)
        closed.update(first)
        # Whoever is last of the nearest so far only gives way to what is nearer.
        floor = max(threshold, found[most - 1].jaccard) if len(found) >= most else threshold
        at_most[list(closed)] = 0.0
        rows = np.flatnonzero(at_most >= floor)
        rows, at_most = self._sketches.narrow(rows, made.sketch, len(made.shingles), floor)
        open_ = sorted(
            (-bound, self._ids[row], row) for bound, row in zip(at_most.tolist(), rows.tolist(), strict=True)
        )
        for step in _steps(open_):
            if len(found) >= most and _nearness(found[most - 1]) < (True, *step[0][:2]):
                break
            found += self._compared(made, [row for _, _, row in step], shingles_of)
            found.sort(key=_nearness)
        return found[:most]

    def among(
        self, made: Fingerprint, proposal_ids: Collection[str], exclude: str, shingles_of: ShinglesOf
    ) -> list[Compared]:
        """Exactly those of them that are here, nearest first."""
        rows = [self._rows[one] for one in sorted(self._rows.keys() & set(proposal_ids)) if one != exclude]
        same = [row for row in rows if self._digests[row] == made.digest]
        others = [row for row in rows if self._digests[row] != made.digest]
        found = [self._same(row) for row in same] + self._compared(made, others, shingles_of)
        return sorted(found, key=_nearness)

    def _same(self, row: int) -> Compared:
        return Compared(self._ids[row], self._labels[row], 1.0, True)

    def _compared(self, made: Fingerprint, rows: Sequence[int], shingles_of: ShinglesOf) -> list[Compared]:
        fetched = shingles_of([self._ids[row] for row in rows])
        return [
            Compared(self._ids[row], self._labels[row], index, False)
            for row, index in zip(rows, jaccards(made.shingles, fetched), strict=True)
        ]

    def _remove(self, proposal_id: str) -> None:
        """Forget an architecture, if it is there; the last one takes its row."""
        row = self._rows.pop(proposal_id, None)
        if row is None:
            return
        structure = self._structures[row]
        if structure is not None:
            self._by_structure[structure].discard(proposal_id)
        last = len(self._ids) - 1
        self._ids[row], self._labels[row] = self._ids[last], self._labels[last]
        self._digests[row], self._structures[row] = self._digests[last], self._structures[last]
        del self._ids[last], self._labels[last], self._digests[last], self._structures[last]
        self._sketches.remove(row)
        if row != last:
            self._rows[self._ids[row]] = row


def _highest(values: Numbers, most: int) -> Rows:
    """Where the highest of them stand."""
    if len(values) <= most:
        return np.arange(len(values))
    return np.argpartition(values, -most)[-most:]


def _nearness(one: Compared) -> tuple[bool, float, str]:
    return (not one.same_digest, -one.jaccard, one.proposal_id)


def _steps(candidates: list[Candidate]) -> Iterator[list[Candidate]]:
    start, width = 0, COMPARED_A_STEP
    while start < len(candidates):
        yield candidates[start : start + width]
        start, width = start + width, 2 * width
