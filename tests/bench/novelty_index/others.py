"""Other ways to find near sets: each returns whom it would compare with, by place."""

from collections.abc import Callable, Sequence

import numpy as np
from datasketch import MinHash, MinHashLSH
from rensa import RMinHash, RMinHashLSH

from filter_svc.fingerprints import Hashes

PERMUTATIONS = 128
DEVIATIONS = 4.0

Query = Callable[[Hashes], list[int]]


class Datasketch:
    """MinHashLSH when nothing but the threshold is said: 128 permutations, both errors weighed alike."""

    name = "datasketch"

    def __init__(self, sets: Sequence[Hashes]) -> None:
        self._sketches = [self._sketch(one) for one in sets]

    def index(self, threshold: float) -> Query:
        """An index of all sets for one threshold."""
        lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
        for place, sketch in enumerate(self._sketches):
            lsh.insert(place, sketch)
        return lambda shingles: lsh.query(self._sketch(shingles))

    def _sketch(self, shingles: Hashes) -> MinHash:
        made = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
        made.update_batch((shingles >> np.uint64(32)).tolist())
        return made


class Rensa:
    """RMinHashLSH, banded as its documentation does: 128 permutations in 16 bands."""

    name = "rensa"

    def __init__(self, sets: Sequence[Hashes]) -> None:
        self._sketches = [self._sketch(one) for one in sets]

    def index(self, threshold: float) -> Query:
        """An index of all sets. The threshold does not change the bands."""
        lsh = RMinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, num_bands=16)
        lsh.insert_many(self._sketches)
        return lambda shingles: lsh.query(self._sketch(shingles))

    def _sketch(self, shingles: Hashes) -> RMinHash:
        made = RMinHash(num_perm=PERMUTATIONS, seed=1)
        made.update([one.tobytes() for one in shingles])
        return made


class SketchScan:
    """All MinHash sketches one after the other: whoever's estimate is no more than 4 deviations too low."""

    name = "MinHash scan, ± 4 SD"

    def __init__(self, sets: Sequence[Hashes]) -> None:
        self._empty = MinHash(num_perm=PERMUTATIONS, seed=1, scheme="affine64", hashfunc=int)
        self._sketches = np.stack([self._sketch(one) for one in sets])

    def index(self, threshold: float) -> Query:
        """All sets, for one threshold."""
        deviation = np.sqrt(threshold * (1 - threshold) / PERMUTATIONS)
        least = PERMUTATIONS * (threshold - DEVIATIONS * deviation)

        def query(shingles: Hashes) -> list[int]:
            equal = np.count_nonzero(self._sketches == self._sketch(shingles), axis=1)
            return np.flatnonzero(equal >= least).tolist()

        return query

    def _sketch(self, shingles: Hashes) -> np.ndarray:
        made = self._empty.copy()
        made.update_batch(shingles)
        return np.asarray(made.hashvalues, dtype=np.uint64)


OTHERS = (Datasketch, Rensa, SketchScan)
