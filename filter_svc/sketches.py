"""The sketches of many shingle sets, and what they say about the Jaccard index of each with another set.

A sketch is a bitmap in which every shingle sets one bit. A bit that A has and B has not shows a shingle
that B does not have, whatever else fell on other bits. So of A's shingles at most
|A| - bits(A) + bits(A and B) are in B, and the same the other way round: a bound from above that holds
with certainty, unlike MinHash's estimate. How many shingles two sets have together follows from the bits
that are set in either (linear counting, Whang et al. 1990), which ranks those that no bound tells apart.

The more shingles share a bit, the weaker the bound. Every row is therefore looked at through a short
bitmap first, and those whose bound is not low enough by it through the whole one.
"""

import numpy as np
from numpy.typing import NDArray

from filter_svc.fingerprints import SKETCH_BITS, Hashes, folded

SHORT_BITS = 2048
"""With 1,000 shingles these tell 0.90 from all below 0.84 or so; the sweep costs a quarter of the whole's."""
FIRST_ROWS = 64
ROWS_A_STEP = 8192
BOUND_A_STEP = 512
"""So many at a time: what is computed of them stays in the processor's cache."""

Integers = NDArray[np.int32]

Numbers = NDArray[np.float64]

_FREE = np.maximum(SHORT_BITS - np.arange(SHORT_BITS + 1), 0.5) / SHORT_BITS
_SHINGLES_OF_BITS: Numbers = np.log(_FREE) / np.log1p(-1.0 / SHORT_BITS)
"""How many different shingles set so many bits of the short sketch, most likely."""


class Sketches:
    """Rows of sketches; rows are numbered from 0, without gaps."""

    def __init__(self) -> None:
        self._rows = 0
        # Word by word, so that one step of the scan reads and writes without leaps.
        self._short: Hashes = np.zeros((SHORT_BITS // 64, FIRST_ROWS), dtype=np.uint64)
        self._short_bits = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._whole: Hashes = np.zeros((FIRST_ROWS, SKETCH_BITS // 64), dtype=np.uint64)
        self._sizes = np.zeros(FIRST_ROWS, dtype=np.int32)

    def __len__(self) -> int:
        return self._rows

    def append(self, sketch: Hashes, size: int) -> None:
        """A new last row: a set of that many shingles."""
        if self._rows == len(self._sizes):
            self._short = np.concatenate([self._short, np.zeros_like(self._short)], axis=1)
            self._short_bits = np.concatenate([self._short_bits, np.zeros_like(self._short_bits)])
            self._whole = np.concatenate([self._whole, np.zeros_like(self._whole)])
            self._sizes = np.concatenate([self._sizes, np.zeros_like(self._sizes)])
        short = folded(sketch, SHORT_BITS)
        self._short[:, self._rows] = short
        self._short_bits[self._rows] = np.bitwise_count(short).sum()
        self._whole[self._rows] = sketch
        self._sizes[self._rows] = size
        self._rows += 1

    def remove(self, row: int) -> None:
        """The last row takes its place."""
        self._rows -= 1
        for kept in (self._short, self._short_bits, self._sizes):
            kept[..., row] = kept[..., self._rows]
        self._whole[row] = self._whole[self._rows]

    def compare(self, sketch: Hashes, size: int) -> tuple[Numbers, Numbers]:
        """Of each row: what its Jaccard index with that set is at most, and about. Rows of [0, 1]."""
        short = folded(sketch, SHORT_BITS)
        common_bits = self._common_bits(short)
        own_bits = int(np.bitwise_count(short).sum())
        bits, sizes = self._short_bits[: self._rows], self._sizes[: self._rows]
        at_most = _bound(size, own_bits, sizes, bits, common_bits)
        together = _SHINGLES_OF_BITS[own_bits + bits - common_bits]
        about = np.clip((size + sizes) / together - 1.0, 0.0, at_most)
        return at_most, about

    def bound(self, rows: NDArray[np.intp], sketch: Hashes, size: int) -> Numbers:
        """Of these rows: what the Jaccard index is at most, more closely than `compare` says it."""
        found = np.empty(len(rows))
        own_bits = int(np.bitwise_count(sketch).sum())
        for start in range(0, len(rows), BOUND_A_STEP):
            some = rows[start : start + BOUND_A_STEP]
            whole = self._whole[some]
            bits = np.bitwise_count(whole).sum(axis=1, dtype=np.int32)
            common_bits = np.bitwise_count(whole & sketch).sum(axis=1, dtype=np.int32)
            found[start : start + len(some)] = _bound(size, own_bits, self._sizes[some], bits, common_bits)
        return found

    def _common_bits(self, sketch: Hashes) -> Integers:
        common = np.zeros(self._rows, dtype=np.uint16)
        both = np.empty(ROWS_A_STEP, dtype=np.uint64)
        counts = np.empty(ROWS_A_STEP, dtype=np.uint8)
        for start in range(0, self._rows, ROWS_A_STEP):
            sums = common[start : start + ROWS_A_STEP]
            width = len(sums)
            for words, word in zip(self._short[:, start : start + width], sketch, strict=True):
                np.bitwise_and(words, word, out=both[:width])
                np.bitwise_count(both[:width], out=counts[:width])
                np.add(sums, counts[:width], out=sums)
        return common.astype(np.int32)


def _bound(size: int, own_bits: int, sizes: Integers, bits: Integers, common_bits: Integers) -> Numbers:
    """Computed as `fingerprints.jaccard` computes the index, so it is never below it."""
    most_common = np.minimum(size - own_bits, sizes - bits) + common_bits
    found: Numbers = most_common / (size + sizes - most_common)
    return found
