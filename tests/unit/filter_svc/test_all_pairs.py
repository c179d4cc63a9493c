"""Comparing all with all at once gives what comparing two by two gives."""

import random

import numpy as np
import pytest

from filter_svc import all_pairs
from filter_svc.all_pairs import ShingleSets
from filter_svc.fingerprints import jaccard


@pytest.fixture(scope="module")
def sets():
    """Twenty sets of 1 to 120 hashes, of few enough values to overlap."""
    rng = random.Random(3)
    sizes = [1, 1, 120, *(rng.randrange(2, 121) for _ in range(17))]
    return [np.array(sorted(rng.sample(range(10**15, 10**15 + 150), size)), np.uint64) for size in sizes]


@pytest.mark.parametrize(
    ("rows", "shingles", "cells"),
    [
        (64, 200_000, 10**7),
        (7, 200_000, 10**7),
        (64, 200, 10**7),
        (64, 1, 10**7),
        (20, 200_000, 1),
        (3, 200, 900),
    ],
)
def test_indices_are_exact_however_the_work_is_cut(sets, rows, shingles, cells, monkeypatch):
    monkeypatch.setattr(all_pairs, "BLOCK_ROWS", rows)
    monkeypatch.setattr(all_pairs, "BLOCK_SHINGLES", shingles)
    monkeypatch.setattr(all_pairs, "CELLS", cells)
    found = {}
    for block in ShingleSets(sets).blocks():
        assert 1 <= len(block.jaccards) <= rows
        for row, values in enumerate(block.jaccards, block.start):
            found.update({(row, block.start + column): value for column, value in enumerate(values)})
    for first in range(len(sets)):
        for second in range(first + 1, len(sets)):
            assert found[first, second] == pytest.approx(jaccard(sets[first], sets[second]), abs=1e-12)
    assert any(value > 0.5 for (first, second), value in found.items() if first < second)


def test_a_block_holds_no_more_shingles_than_there_is_room_for(sets, monkeypatch):
    monkeypatch.setattr(all_pairs, "BLOCK_SHINGLES", 200)
    starts = [block.start for block in ShingleSets(sets).blocks()]
    assert starts[0] == 0
    for start, stop in zip(starts, [*starts[1:], len(sets)], strict=True):
        assert stop - start == 1 or sum(len(one) for one in sets[start:stop]) <= 200


def test_no_sets_have_no_blocks_and_one_set_has_no_pairs(sets):
    assert list(ShingleSets([]).blocks()) == []
    assert [(block.start, block.jaccards.shape) for block in ShingleSets(sets[:1]).blocks()] == [(0, (1, 1))]


def test_sets_without_a_common_shingle_have_an_index_of_zero_and_equal_ones_of_one(sets):
    apart = [sets[2], sets[2] + np.uint64(1000), sets[2]]
    (block,) = ShingleSets(apart).blocks()
    assert (block.jaccards[0, 1], block.jaccards[1, 2], block.jaccards[0, 2]) == (0.0, 0.0, 1.0)
