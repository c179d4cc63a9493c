"""The sketches of many shingle sets, and what they say about the Jaccard index of each with another set.

A sketch is a bitmap in which every shingle sets one bit. A bit that A has and B has not shows a shingle
that B does not have, whatever else fell on other bits. So of A's shingles at most
|A| - bits(A) + bits(A and B) are in B, and the same the other way round: a bound from above that holds
with certainty, unlike MinHash's estimate. How many shingles two sets have together follows from the bits
that are set in either (linear counting, Whang et al. 1990), which ranks those that no bound tells apart.
"""

import numpy as np
from numpy.typing import NDArray

from filter_svc.fingerprints import SKETCH_BITS, Hashes

WORDS = SKETCH_BITS // 64
FIRST_ROWS = 64
ROWS_A_STEP = 8192
"""So many at a time: what is computed of them stays in the processor's cache."""

Numbers = NDArray[np.float64]

_FREE = np.maximum(SKETCH_BITS - np.arange(SKETCH_BITS + 1), 0.5) / SKETCH_BITS
_SHINGLES_OF_BITS: Numbers = np.log(_FREE) / np.log1p(-1.0 / SKETCH_BITS)
"""How many different shingles set so many bits, most likely."""


class Sketches:
    """Rows of sketches; rows are numbered from 0, without gaps."""

    def __init__(self) -> None:
        self._rows = 0
        # Word by word, so that one step of the scan reads and writes without leaps.
        self._words: Hashes = np.zeros((WORDS, FIRST_ROWS), dtype=np.uint64)
        self._bits = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._sizes = np.zeros(FIRST_ROWS, dtype=np.int32)

    def __len__(self) -> int:
        return self._rows

    def append(self, sketch: Hashes, size: int) -> None:
        """A new last row: a set of that many shingles."""
        if self._rows == len(self._bits):
            self._words = np.concatenate([self._words, np.zeros_like(self._words)], axis=1)
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
            self._sizes = np.concatenate([self._sizes, np.zeros_like(self._sizes)])
        self._words[:, self._rows] = sketch
        self._bits[self._rows] = np.bitwise_count(sketch).sum()
        self._sizes[self._rows] = size
        self._rows += 1

    def remove(self, row: int) -> None:
        """The last row takes its place."""
        self._rows -= 1
        for kept in (self._words, self._bits, self._sizes):
            kept[..., row] = kept[..., self._rows]

    def compare(self, sketch: Hashes, size: int) -> tuple[Numbers, Numbers]:
        """Of each row: what its Jaccard index with that set is at most, and about. Rows of [0, 1].

        The bound is computed as `fingerprints.jaccard` computes the index, so it is never below it.
        """
        common_bits = self._common_bits(sketch)
        own_bits = int(np.bitwise_count(sketch).sum())
        bits, sizes = self._bits[: self._rows], self._sizes[: self._rows]
        most_common = np.minimum(size - own_bits, sizes - bits) + common_bits
        at_most = most_common / (size + sizes - most_common)
        together = _SHINGLES_OF_BITS[own_bits + bits - common_bits]
        about = np.clip((size + sizes) / together - 1.0, 0.0, at_most)
        return at_most, about

    def _common_bits(self, sketch: Hashes) -> NDArray[np.int32]:
        common = np.zeros(self._rows, dtype=np.uint16)
        both = np.empty(ROWS_A_STEP, dtype=np.uint64)
        counts = np.empty(ROWS_A_STEP, dtype=np.uint8)
        for start in range(0, self._rows, ROWS_A_STEP):
            sums = common[start : start + ROWS_A_STEP]
            width = len(sums)
            for words, word in zip(self._words[:, start : start + width], sketch, strict=True):
                np.bitwise_and(words, word, out=both[:width])
                np.bitwise_count(both[:width], out=counts[:width])
                np.add(sums, counts[:width], out=sums)
        return common.astype(np.int32)
