"""The architectures of one scope in memory, ready to be compared with. Not thread-safe: its owner locks.

Two ways lead to whom to compare with. The banded index finds the pairs above a threshold without
looking at the others; a scan of all sketches ranks the rest, so that the nearest are known even when
nothing is near. What they find is compared exactly.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from datasketch import MinHashLSH

from filter_svc.fingerprints import (
    PERMUTATIONS,
    Banding,
    Fingerprint,
    Hashes,
    as_minhash,
    banding_for,
    jaccard,
)

RANKED_BY_SKETCH = 16
"""How many of the best sketches are compared exactly; an estimate's standard deviation is 0.03 to 0.044."""


BANDINGS_KEPT = 3
"""Each distinct banding that a threshold asks for costs as much memory as the sketches."""


@dataclass(frozen=True)
class Compared:
    """An architecture and what comparing it exactly has shown."""

    proposal_id: str
    label: str
    jaccard: float
    same_digest: bool


class Neighbourhood:
    """Fingerprints by proposal id."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._labels: list[str] = []
        self._fingerprints: list[Fingerprint] = []
        self._sketches: Hashes = np.zeros((64, PERMUTATIONS), dtype=np.uint64)
        self._by_digest: dict[bytes, set[str]] = defaultdict(set)
        self._banded: dict[Banding, MinHashLSH] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, proposal_id: str, label: str, fingerprint: Fingerprint) -> None:
        """Add an architecture, or replace the one of that id."""
        self.remove(proposal_id)
        row = len(self._ids)
        if row == len(self._sketches):
            self._sketches = np.concatenate([self._sketches, np.zeros_like(self._sketches)])
        self._sketches[row] = fingerprint.sketch
        self._rows[proposal_id] = row
        self._ids.append(proposal_id)
        self._labels.append(label)
        self._fingerprints.append(fingerprint)
        self._by_digest[fingerprint.digest].add(proposal_id)
        for banded in self._banded.values():
            banded.insert(proposal_id, as_minhash(fingerprint.sketch))

    def remove(self, proposal_id: str) -> None:
        """Forget an architecture, if it is there; the last one takes its row."""
        row = self._rows.pop(proposal_id, None)
        if row is None:
            return
        self._by_digest[self._fingerprints[row].digest].discard(proposal_id)
        for banded in self._banded.values():
            banded.remove(proposal_id)
        last = len(self._ids) - 1
        self._ids[row], self._labels[row] = self._ids[last], self._labels[last]
        self._fingerprints[row] = self._fingerprints[last]
        del self._ids[last], self._labels[last], self._fingerprints[last]
        self._sketches[row] = self._sketches[last]
        if row != last:
            self._rows[self._ids[row]] = row

    def compare(
        self, fingerprint: Fingerprint, threshold: float, exclude: str, among: Collection[str] | None = None
    ) -> list[Compared]:
        """All that may reach the threshold, and the nearest others; nearest first, ids breaking ties.

        With `among`: exactly those of them that are here.
        """
        if among is None:
            met = self._same(fingerprint) | self._met(fingerprint, threshold) | self._ranked(fingerprint)
        else:
            met = self._rows.keys() & set(among)
        compared = [self._compared(fingerprint, id_) for id_ in met if id_ != exclude]
        return sorted(compared, key=lambda one: (not one.same_digest, -one.jaccard, one.proposal_id))

    def _compared(self, fingerprint: Fingerprint, proposal_id: str) -> Compared:
        row = self._rows[proposal_id]
        other = self._fingerprints[row]
        same = other.digest == fingerprint.digest
        similarity = 1.0 if same else jaccard(fingerprint.shingles, other.shingles)
        return Compared(proposal_id, self._labels[row], similarity, same)

    def _same(self, fingerprint: Fingerprint) -> set[str]:
        return set(self._by_digest.get(fingerprint.digest, ()))

    def _met(self, fingerprint: Fingerprint, threshold: float) -> set[str]:
        banding = banding_for(threshold)
        if banding is None:
            return set(self._ids)
        if banding not in self._banded:
            if len(self._banded) == BANDINGS_KEPT:
                del self._banded[next(iter(self._banded))]
            self._banded[banding] = self._build(banding)
        return set(self._banded[banding].query(as_minhash(fingerprint.sketch)))

    def _build(self, banding: Banding) -> MinHashLSH:
        banded = MinHashLSH(num_perm=PERMUTATIONS, params=banding)
        for proposal_id, known in zip(self._ids, self._fingerprints, strict=True):
            banded.insert(proposal_id, as_minhash(known.sketch))
        return banded

    def _ranked(self, fingerprint: Fingerprint) -> set[str]:
        equal = np.count_nonzero(self._sketches[: len(self._ids)] == fingerprint.sketch, axis=1)
        best = np.argsort(-equal, kind="stable")[: RANKED_BY_SKETCH + 1]
        return {self._ids[row] for row in best}
