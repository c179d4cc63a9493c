"""Large architectures, each by its difference from the founder of its family.

The sketches of a thousand variants of one network are nearly equal, and what tells them apart is spread over
thousands of bits. So a family keeps of each member which of the founder's bits it has, and the few others in
a short bitmap of their own. A bound as good as that of the whole sketches then takes a tenth of the words.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from filter_svc.bitmaps import Integers, Numbers, Rows, bits_of, bits_of_each, doubled, most_alike
from filter_svc.fingerprints import Hashes, folded

LEAST_BITS = 32_768
"""Shorter sketches are looked at soon enough as they are."""
LEAST_COMMON = 0.8
"""A member has so many of the founder's bits, and so many of its own bits are the founder's."""
OTHER_BITS = 1024
"""Bits of the bitmap of what the founder does not have."""
FOUNDER_BITS = 2048
"""Founders are looked for through bitmaps of so many bits."""
MOST_FAMILIES = 128
"""Of one length of sketches; the smallest one makes room."""
FEW_MEMBERS = 256
"""With fewer in question it is quicker to look at their sketches."""
FIRST_MEMBERS = 4


class _Family:
    """A founder's sketch, and its members by their difference from it."""

    def __init__(self, founder: Hashes) -> None:
        self.founder = founder
        self.size = 0
        self._places = np.flatnonzero(_unpacked(founder))
        words = -(-len(self._places) // 64)
        self._rows: Rows = np.zeros(FIRST_MEMBERS, dtype=np.intp)
        self._kept: Hashes = np.zeros((FIRST_MEMBERS, words), dtype=np.uint64)
        """Which of the founder's bits each has."""
        self._others: Hashes = np.zeros((FIRST_MEMBERS, OTHER_BITS // 64), dtype=np.uint64)
        self._hidden_bits = np.zeros(FIRST_MEMBERS, dtype=np.int32)
        """How many of the others each has more than that bitmap shows."""
        self._bits = np.zeros(FIRST_MEMBERS, dtype=np.int32)

    @property
    def rows(self) -> Rows:
        return self._rows[: self.size]

    def has_kin(self, sketch: Hashes) -> bool:
        common, bits = bits_of(self.founder & sketch), len(self._places)
        return common >= LEAST_COMMON * max(bits, bits_of(sketch))

    def append(self, row: int, sketch: Hashes) -> int:
        """A new last member; its place."""
        place = self.size
        if place == len(self._rows):
            self._rows, self._bits = doubled(self._rows), doubled(self._bits)
            self._kept, self._others = doubled(self._kept), doubled(self._others)
            self._hidden_bits = doubled(self._hidden_bits)
        self._rows[place], self._bits[place] = row, bits_of(sketch)
        self._kept[place], self._others[place], self._hidden_bits[place] = self._split(sketch)
        self.size += 1
        return place

    def remove(self, place: int) -> int:
        """The last member takes its place; its row."""
        self.size -= 1
        for kept in (self._rows, self._bits, self._kept, self._others, self._hidden_bits):
            kept[place] = kept[self.size]
        return int(self._rows[place])

    def renumber(self, place: int, row: int) -> None:
        """Call the member there that row."""
        self._rows[place] = row

    def most_alike(self, sketch: Hashes, size: int, sizes: Integers) -> Numbers:
        """What the Jaccard index of each member, of so many shingles, with that set is at most."""
        kept, others, hidden_bits = self._split(sketch)
        members = slice(0, self.size)
        common_bits = bits_of_each(self._kept[members] & kept)
        common_bits += bits_of_each(self._others[members] & others)
        # What neither bitmap shows may be common as well.
        common_bits += np.minimum(self._hidden_bits[members], hidden_bits)
        return most_alike(size, bits_of(sketch), sizes, self._bits[members], common_bits)

    def _split(self, sketch: Hashes) -> tuple[Hashes, Hashes, int]:
        """Its bits among the founder's, the others, and how many of those the bitmap hides."""
        kept = np.zeros(self._kept.shape[1] * 8, dtype=np.uint8)
        packed = np.packbits(_unpacked(sketch)[self._places], bitorder="little")
        kept[: len(packed)] = packed
        rest = sketch & ~self.founder
        others = folded(rest, OTHER_BITS)
        return kept.view(np.uint64), others, bits_of(rest) - bits_of(others)


class _OneLength:
    """Families whose sketches are equally long."""

    def __init__(self) -> None:
        self.all: list[_Family] = []
        self._founders: Hashes = np.zeros((MOST_FAMILIES, FOUNDER_BITS // 64), dtype=np.uint64)

    def of_kin(self, sketch: Hashes) -> _Family | None:
        """The family whose founder is nearest, if that is near enough."""
        if not self.all:
            return None
        founders = self._founders[: len(self.all)]
        nearest = self.all[int(np.argmax(bits_of_each(founders & folded(sketch, FOUNDER_BITS))))]
        return nearest if nearest.has_kin(sketch) else None

    def found(self, sketch: Hashes) -> _Family:
        """A family without members yet."""
        self._founders[len(self.all)] = folded(sketch, FOUNDER_BITS)
        self.all.append(_Family(sketch))
        return self.all[-1]

    def forget_smallest(self) -> _Family:
        """Let go of the smallest family, the oldest of these."""
        smallest = min(range(len(self.all)), key=lambda place: self.all[place].size)
        self._founders[smallest:-1] = self._founders[smallest + 1 :]
        return self.all.pop(smallest)


class Families:
    """Members are rows, numbered from 0 without gaps; some belong to no family."""

    def __init__(self) -> None:
        self._by_length: dict[int, _OneLength] = defaultdict(_OneLength)
        """By the words of their sketches."""
        self._of_row: list[tuple[_Family, int] | None] = []
        """The family of each, and the place there."""

    def append(self, sketch: Hashes) -> None:
        """A new last row."""
        if 64 * len(sketch) < LEAST_BITS:
            self._of_row.append(None)
            return
        families = self._by_length[len(sketch)]
        family = families.of_kin(sketch)
        if family is None:
            if len(families.all) == MOST_FAMILIES:
                for member in families.forget_smallest().rows.tolist():
                    self._of_row[member] = None
            family = families.found(sketch)
        row = len(self._of_row)
        self._of_row.append((family, family.append(row, sketch)))

    def remove(self, row: int) -> None:
        """The last row takes its place."""
        home = self._of_row[row]
        if home is not None:
            family, place = home
            moved = family.remove(place)
            if moved != row:
                self._of_row[moved] = (family, place)
        last = self._of_row.pop()
        if row < len(self._of_row):
            self._of_row[row] = last
            if last is not None:
                last[0].renumber(last[1], row)

    def most_alike(self, rows: Rows, sketch: Hashes, size: int, sizes: Integers) -> Numbers:
        """Of these rows: what the index with that set is at most; 1 where nothing is told.

        `sizes` are the numbers of shingles of all rows.
        """
        told = np.ones(len(self._of_row))
        asked = np.zeros(len(self._of_row), dtype=bool)
        asked[rows] = True
        for family in self._by_length[len(sketch)].all:
            if family.size >= FEW_MEMBERS and np.count_nonzero(asked[family.rows]) >= FEW_MEMBERS:
                told[family.rows] = family.most_alike(sketch, size, sizes[family.rows])
        found: Numbers = told[rows]
        return found


def _unpacked(sketch: Hashes) -> NDArray[np.uint8]:
    """A number for each bit."""
    return np.unpackbits(sketch.view(np.uint8), bitorder="little")
