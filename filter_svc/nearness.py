"""Which of many architectures are copies, and which are near: all compared with all, nothing kept."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.problems import problem
from contracts.training_pairs import CopyOf, NamedSource, NearnessLine, NearPair
from filter_svc.all_pairs import Block, ShingleSets
from filter_svc.canonical import NotScreenable
from filter_svc.fingerprints import Fingerprint, fingerprint
from filter_svc.request_checks import Refused

SOURCES_A_STEP = 50
"""Between two words about the progress."""
FINGERPRINTING_SHARE = 0.8
"""Of the work, about."""
MAX_SHINGLES = 20_000_000
"""Of all architectures; they take 1.6 GiB while they are sorted. All of LEMUR has 12 million."""

Pair = tuple[int, int, float]
"""Two rows and their Jaccard index."""


@dataclass(frozen=True)
class Near:
    """Which pairs are near: by their exact Jaccard index, in (0, 1]."""

    at_least: float
    at_most: float = 1.0
    neighbours: int | None = None
    """Of these pairs, only such where one is among so many nearest of the other. None = all."""


def nearness(sources: Iterable[NamedSource], total: int, near: Near) -> Iterator[NearnessLine]:
    """Copies and what cannot be compared, in the order of the sources; then near pairs; then `compared`.

    `total` is the number of sources, for the progress. Raises Refused (too_many_shingles) on the way.
    """
    distinct: dict[str, Fingerprint] = {}
    yield from _fingerprinted(sources, total, distinct)
    ids = list(distinct)
    nearest = None if near.neighbours is None else _Nearest(len(ids), near.neighbours)
    for block in ShingleSets([one.shingles for one in distinct.values()]).blocks():
        left = (1 - block.start / len(ids)) ** 2
        yield NearnessLine(progress=1 - (1 - FINGERPRINTING_SHARE) * left)
        if nearest is None:
            yield from (_line(ids, pair) for pair in _near_pairs(block, near))
        else:
            nearest.add(_near_pairs(block, near))
    if nearest is not None:
        yield from (_line(ids, pair) for pair in nearest.pairs())
    yield NearnessLine(compared=len(ids))


def _line(ids: Sequence[str], pair: Pair) -> NearnessLine:
    first, second = sorted((ids[pair[0]], ids[pair[1]]))
    return NearnessLine(near=NearPair(first, second, pair[2]))


def _fingerprinted(
    sources: Iterable[NamedSource], total: int, distinct: dict[str, Fingerprint]
) -> Iterator[NearnessLine]:
    """Fills `distinct`; tells what does not get in. Raises Refused."""
    first_of: dict[bytes, str] = {}
    shingles = 0
    for number, named in enumerate(sources):
        if number % SOURCES_A_STEP == 0:
            yield NearnessLine(progress=FINGERPRINTING_SHARE * number / total)
        try:
            made = fingerprint(named.source)
        except NotScreenable:
            yield NearnessLine(not_comparable=named.id)
            continue
        first = first_of.setdefault(made.digest, named.id)
        if first == named.id:
            distinct[named.id] = made
            shingles += len(made.shingles)
            if shingles > MAX_SHINGLES:
                raise _too_much(named.id)
        else:
            yield NearnessLine(copy=CopyOf(named.id, first))


def _too_much(last_id: str) -> Refused:
    remedy = "Send fewer sources, or shorter ones."
    detail = f"The sources up to {last_id!r} have more than {MAX_SHINGLES} shingles in all."
    return Refused(problem(413, "too_many_shingles", detail, field="body", remedy=remedy))


def _near_pairs(block: Block, near: Near) -> Iterator[Pair]:
    """Those of the block's rows with later rows."""
    is_near = (block.jaccards >= near.at_least) & (block.jaccards <= near.at_most)
    rows, columns = np.nonzero(np.triu(is_near, 1))
    similarities = block.jaccards[rows, columns].tolist()
    return zip((rows + block.start).tolist(), (columns + block.start).tolist(), similarities, strict=True)


class _Nearest:
    """Keeps the nearest pairs of each row. Of equally near ones, those with earlier rows."""

    def __init__(self, rows: int, most: int) -> None:
        self._most = most
        self._of: list[list[tuple[float, int]]] = [[] for _ in range(rows)]

    def add(self, pairs: Iterable[Pair]) -> None:
        """Take these into account."""
        for first, second, similarity in pairs:
            self._keep(first, (similarity, -second))
            self._keep(second, (similarity, -first))

    def pairs(self) -> Iterator[Pair]:
        """All that are among the nearest of either of their rows, each once."""
        for row, kept in enumerate(self._of):
            for similarity, negated in sorted(kept, reverse=True):
                other = -negated
                if other > row or (similarity, -row) not in self._of[other]:
                    yield row, other, similarity

    def _keep(self, row: int, item: tuple[float, int]) -> None:
        kept = self._of[row]
        if len(kept) < self._most:
            heapq.heappush(kept, item)
        else:
            heapq.heappushpop(kept, item)
