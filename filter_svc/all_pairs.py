"""Exact Jaccard indices of every two of many sets of shingles, as products of matrices of zeros and ones.

Networks come in clusters of many variants, where sketches and bands leave every third pair to be compared
exactly. For networks of a thousand shingles a pair costs a microsecond or two so, and 22 where two
sorted sets are intersected. No pair is missed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filter_svc.fingerprints import Hashes

BLOCK_ROWS = 64
BLOCK_SHINGLES = 200_000
"""So many at most in a block, unless a single row has more."""
CELLS = 8 * 1024 * 1024
"""Of a matrix of others; about 32 MiB."""

Indices = NDArray[np.float64]


class Block(NamedTuple):
    """Some consecutive rows, and their Jaccard indices in [0, 1] with the first of them and all after it."""

    start: int
    jaccards: Indices
    """Row by row; the column is that of the other row, less `start`. Of a row with itself there is none."""


class ShingleSets:
    """Sets of shingles, their hashes replaced by running numbers. Rows are the sets in the order given."""

    def __init__(self, sets: Sequence[Hashes]) -> None:
        self._sizes = np.array([len(one) for one in sets], dtype=np.int64)
        hashes = np.concatenate([*sets, np.zeros(0, dtype=np.uint64)])
        _, numbers, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        # What a single set has, more than half of the different shingles, no two have in common.
        is_shared = counts > 1
        kept = is_shared[numbers]
        self._shared = int(np.count_nonzero(is_shared))
        self._numbers = (np.cumsum(is_shared, dtype=np.int32) - 1)[numbers[kept]]
        kept_before = np.concatenate([[0], np.cumsum(kept)])
        self._starts = kept_before[np.concatenate([[0], np.cumsum(self._sizes)])]
        """Where each row's numbers start, and where the last one's end."""

    def blocks(self) -> Iterator[Block]:
        """The indices of every two rows, the later one as a column."""
        start = 0
        while start < len(self._sizes):
            fitting = np.searchsorted(self._starts, self._starts[start] + BLOCK_SHINGLES, side="right") - 1
            stop = min(len(self._sizes), start + BLOCK_ROWS, max(start + 1, int(fitting)))
            yield Block(start, self._jaccards(start, stop))
            start = stop

    def _jaccards(self, start: int, stop: int) -> Indices:
        common = self._common(start, stop)
        sizes = self._sizes[start:stop, np.newaxis] + self._sizes[start:]
        return common / (sizes - common)

    def _common(self, start: int, stop: int) -> Indices:
        """How many shingles each row from `start` to `stop` shares with each from `start` on."""
        own = np.unique(self._numbers[self._starts[start] : self._starts[stop]])
        # All that the block does not have falls into one column more, which is then left out.
        column = np.full(self._shared, len(own), dtype=np.int32)
        column[own] = np.arange(len(own), dtype=np.int32)
        block = self._matrix(start, stop, column, len(own))
        common = np.empty((stop - start, len(self._sizes) - start))
        step = max(1, CELLS // (len(own) + 1))
        for first in range(start, len(self._sizes), step):
            last = min(first + step, len(self._sizes))
            common[:, first - start : last - start] = block @ self._matrix(first, last, column, len(own)).T
        return common

    def _matrix(self, start: int, stop: int, column: NDArray[np.int32], width: int) -> NDArray[np.float32]:
        """Rows of zeros and ones. Sums of ones are exact in 32 bits up to 16 million."""
        matrix = np.zeros((stop - start, width + 1), dtype=np.float32)
        rows = np.repeat(np.arange(stop - start), np.diff(self._starts[start : stop + 1]))
        matrix[rows, column[self._numbers[self._starts[start] : self._starts[stop]]]] = 1.0
        return matrix[:, :width]
