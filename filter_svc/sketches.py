"""The sketches of many shingle sets, and what they say about the Jaccard index of each with another set.

A sketch is a bitmap in which every shingle sets one bit. A bit that A has and B has not shows a shingle
that B does not have, whatever else fell on other bits. So of A's shingles at most
|A| - bits(A) + bits(A and B) are in B, and the same the other way round: a bound from above that holds
with certainty, unlike MinHash's estimate. It holds of any part of the bitmap, too, and of any shorter one
that it is folded to. How many shingles two sets have together follows from the bits that are set in either
(linear counting, Whang et al. 1990), which ranks those that no bound tells apart.

The more bits are looked at, the closer the bound. Every row is therefore glanced at through half of a short
bitmap; those whose bound is not low enough by that through a longer one, and the few that are left through
their own, whose length grows with the set. Many variants of one large network are looked at together first
(`filter_svc.families`).
"""

import numpy as np

from filter_svc.bitmaps import Integers, Numbers, Rows, bits_of, bits_of_each, doubled, most_alike
from filter_svc.families import Families
from filter_svc.fingerprints import LEAST_SKETCH_BITS, Hashes, folded

SHORT_BITS = 2048
GLANCE_BITS = 1024
"""With 600 shingles these tell 0.90 from most below 0.75; the other half would cost as much again."""
FIRST_ROWS = 64
ROWS_A_STEP = 32_768
WORDS_A_STEP = 65_536
"""So many at a time: what is computed of them stays in the processor's cache."""


def _shingles_of_bits(length: int) -> Numbers:
    """How many different shingles set so many of that many bits, most likely."""
    free = np.maximum(length - np.arange(length + 1), 0.5) / length
    found: Numbers = np.log(free) / np.log1p(-1.0 / length)
    return found


_IN_GLANCE = _shingles_of_bits(GLANCE_BITS)
_IN_MIDDLE = _shingles_of_bits(LEAST_SKETCH_BITS)


class Sketches:
    """Rows of sketches; rows are numbered from 0, without gaps."""

    def __init__(self) -> None:
        self._rows = 0
        self._sizes = np.zeros(FIRST_ROWS, dtype=np.int32)
        # Word by word, so that one step of the glance reads and writes without leaps.
        self._glimpses: Hashes = np.zeros((GLANCE_BITS // 64, FIRST_ROWS), dtype=np.uint64)
        self._glimpse_bits = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._middle: Hashes = np.zeros((FIRST_ROWS, LEAST_SKETCH_BITS // 64), dtype=np.uint64)
        self._middle_bits = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._longer: list[Hashes | None] = []
        """Whole sketches, as far as they are longer than the middle ones."""
        self._families = Families()

    def __len__(self) -> int:
        return self._rows

    def append(self, sketch: Hashes, size: int) -> None:
        """A new last row: a set of that many shingles."""
        row = self._rows
        if row == len(self._sizes):
            self._grow()
        glimpse, middle = _glimpse(sketch), folded(sketch, LEAST_SKETCH_BITS)
        self._sizes[row] = size
        self._glimpses[:, row], self._glimpse_bits[row] = glimpse, bits_of(glimpse)
        self._middle[row], self._middle_bits[row] = middle, bits_of(middle)
        self._longer.append(sketch if len(sketch) > len(middle) else None)
        self._families.append(sketch)
        self._rows += 1

    def remove(self, row: int) -> None:
        """The last row takes its place."""
        self._rows -= 1
        self._glimpses[:, row] = self._glimpses[:, self._rows]
        for kept in (self._sizes, self._glimpse_bits, self._middle, self._middle_bits):
            kept[row] = kept[self._rows]
        self._families.remove(row)
        last = self._longer.pop()
        if row < self._rows:
            self._longer[row] = last

    def glance(self, sketch: Hashes, size: int) -> tuple[Numbers, Numbers]:
        """Of each row: what its Jaccard index with that set is at most, and roughly. Rows of [0, 1]."""
        glimpse = _glimpse(sketch)
        own_bits, bits = bits_of(glimpse), self._glimpse_bits[: self._rows]
        common_bits = self._common_at_a_glance(glimpse)
        at_most = most_alike(size, own_bits, self._sizes[: self._rows], bits, common_bits)
        return at_most, _likeness(_IN_GLANCE, own_bits, bits, common_bits)

    def likeness(self, rows: Rows, sketch: Hashes) -> Numbers:
        """Of these rows: about what the Jaccard index is, more closely than `glance` says it."""
        middle = folded(sketch, LEAST_SKETCH_BITS)
        common_bits = self._common_in_middle(rows, middle)
        return _likeness(_IN_MIDDLE, bits_of(middle), self._middle_bits[rows], common_bits)

    def narrow(self, rows: Rows, sketch: Hashes, size: int, floor: float) -> tuple[Rows, Numbers]:
        """Those of these rows whose index may reach `floor`, and what it is at most, as near as can be."""
        kin = self._families.most_alike(rows, sketch, size, self._sizes)
        rows = rows[kin >= floor]
        middle = folded(sketch, LEAST_SKETCH_BITS)
        bits, common_bits = self._middle_bits[rows], self._common_in_middle(rows, middle)
        at_most = most_alike(size, bits_of(middle), self._sizes[rows], bits, common_bits)
        left = at_most >= floor
        rows, at_most = rows[left], at_most[left]
        if len(sketch) > len(middle):
            self._bound_by_whole(rows, at_most, sketch, size)
            left = at_most >= floor
            rows, at_most = rows[left], at_most[left]
        return rows, at_most

    def _bound_by_whole(self, rows: Rows, at_most: Numbers, sketch: Hashes, size: int) -> None:
        """Lower the bounds of these rows to what as many bits say as both have."""
        longer = [self._longer[row] for row in rows.tolist()]
        for length in {len(one) for one in longer if one is not None}:
            places = [place for place, one in enumerate(longer) if one is not None and len(one) == length]
            shared = folded(sketch, 64 * min(length, len(sketch)))
            step = WORDS_A_STEP // length
            for start in range(0, len(places), step):
                some = places[start : start + step]
                stack = np.stack([one for place in some if (one := longer[place]) is not None])
                if length > len(shared):
                    stack = np.bitwise_or.reduce(stack.reshape(len(some), -1, len(shared)), axis=1)
                bits, common_bits = bits_of_each(stack), bits_of_each(stack & shared)
                at_most[some] = most_alike(size, bits_of(shared), self._sizes[rows[some]], bits, common_bits)

    def _common_at_a_glance(self, glimpse: Hashes) -> Integers:
        common = np.zeros(self._rows, dtype=np.uint16)
        both = np.empty(ROWS_A_STEP, dtype=np.uint64)
        counts = np.empty(ROWS_A_STEP, dtype=np.uint8)
        for start in range(0, self._rows, ROWS_A_STEP):
            sums = common[start : start + ROWS_A_STEP]
            width = len(sums)
            for words, word in zip(self._glimpses[:, start : start + width], glimpse, strict=True):
                np.bitwise_and(words, word, out=both[:width])
                np.bitwise_count(both[:width], out=counts[:width])
                np.add(sums, counts[:width], out=sums)
        return common.astype(np.int32)

    def _common_in_middle(self, rows: Rows, middle: Hashes) -> Integers:
        common = np.empty(len(rows), dtype=np.int32)
        step = WORDS_A_STEP // len(middle)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            common[start : start + step] = bits_of_each(self._middle[some] & middle)
        return common

    def _grow(self) -> None:
        self._sizes = doubled(self._sizes)
        self._glimpses = np.concatenate([self._glimpses, np.zeros_like(self._glimpses)], axis=1)
        self._glimpse_bits = doubled(self._glimpse_bits)
        self._middle, self._middle_bits = doubled(self._middle), doubled(self._middle_bits)


def _glimpse(sketch: Hashes) -> Hashes:
    return folded(sketch, SHORT_BITS)[: GLANCE_BITS // 64]


def _likeness(shingles_of_bits: Numbers, own_bits: int, bits: Integers, common_bits: Integers) -> Numbers:
    """About what the index is, in [0, 1], by how many shingles are in either, in the other, and in both."""
    apart = shingles_of_bits[own_bits] + shingles_of_bits[bits]
    together = np.maximum(shingles_of_bits[own_bits + bits - common_bits], 1.0)
    found: Numbers = np.clip(apart / together - 1.0, 0.0, 1.0)
    return found
