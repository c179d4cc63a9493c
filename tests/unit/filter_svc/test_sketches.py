"""Sketches bound the Jaccard index of shingle sets from above, whatever the sets are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filter_svc.fingerprints import LEAST_SKETCH_BITS, folded, jaccard, sketch_bits, sketch_of
from filter_svc.sketches import SHORT_BITS, Sketches


def drawn(seed: int, size: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of `size` hashes that have about that share in common."""
    rng = np.random.default_rng(seed)
    every = rng.integers(0, 2**64, 2 * size, dtype=np.uint64)
    common = int(size * share)
    return np.unique(every[:size]), np.unique(every[size - common : 2 * size - common])


def sketches_of(*sets: np.ndarray) -> Sketches:
    sketches = Sketches()
    for one in sets:
        sketches.append(sketch_of(one), len(one))
    return sketches


def bounds(sketches: Sketches, other: np.ndarray) -> tuple[float, float]:
    """What the first row's index is at most: at a glance, and as near as can be told."""
    made = sketch_of(other)
    at_most, _ = sketches.glance(made, len(other))
    _, closely = sketches.narrow(np.array([0]), made, len(other), 0.0)
    return at_most[0], closely[0]


@given(
    st.integers(0, 2**32),
    st.integers(1, 3 * LEAST_SKETCH_BITS),
    st.floats(0, 1),
    st.integers(1, 3 * LEAST_SKETCH_BITS),
)
def test_neither_bound_is_below_the_index_and_the_narrower_one_is_no_weaker(seed, size, share, cut):
    left, right = drawn(seed, size, share)
    right = right[:cut]
    at_a_glance, closely = bounds(sketches_of(left), right)
    assert jaccard(left, right) <= closely <= at_a_glance


@given(st.integers(0, 2**32), st.integers(1, 4000), st.floats(0, 1), st.floats(0, 1))
def test_whoever_may_reach_the_floor_is_left(seed, size, share, floor):
    left, right = drawn(seed, size, share)
    made = sketch_of(right)
    rows, _ = sketches_of(left, right).narrow(np.array([0, 1]), made, len(right), floor)
    assert 1 in rows
    assert 0 in rows or jaccard(left, right) < floor


@pytest.mark.parametrize("size", [4000, 12_000])
def test_large_sets_that_fill_the_short_sketch_are_told_apart_by_their_own(size):
    left, right = drawn(1, size, 0.8)
    at_a_glance, closely = bounds(sketches_of(left), right)
    index = jaccard(left, right)
    assert at_a_glance > 0.9 > closely > index
    assert closely - index < 0.06


def test_sets_whose_sketches_differ_in_length_are_compared_by_the_shorter_one():
    left, _ = drawn(1, 1300, 0)
    right = left[:1400]
    other = np.union1d(left, drawn(2, 200, 0)[0])
    assert len(sketch_of(left)) < len(sketch_of(other))
    _, closely = bounds(sketches_of(other), right)
    _, the_other_way_round = bounds(sketches_of(right), other)
    assert closely == the_other_way_round >= jaccard(other, right)


def test_those_that_look_alike_are_alike():
    sets = [drawn(7, 700, share)[1] for share in (0.2, 0.5, 0.9)]
    left = drawn(7, 700, 0.5)[0]
    sketches = sketches_of(*sets)
    _, roughly = sketches.glance(sketch_of(left), len(left))
    more_closely = sketches.likeness(np.arange(3), sketch_of(left))
    for row, one in enumerate(sets):
        assert abs(roughly[row] - jaccard(left, one)) < 0.15
        assert abs(more_closely[row] - jaccard(left, one)) < 0.05


@pytest.mark.parametrize(
    ("size", "bits"),
    [(1, 8192), (682, 8192), (683, 16_384), (1500, 32_768), (9000, 131_072), (10**6, 131_072)],
)
def test_a_sketch_grows_with_its_set_within_bounds(size, bits):
    assert sketch_bits(size) == bits


@pytest.mark.parametrize("bits", [64, SHORT_BITS, LEAST_SKETCH_BITS])
def test_a_folded_sketch_is_that_of_as_many_bits(bits):
    shingles, _ = drawn(2, 1500, 0)
    expected = np.zeros(bits, dtype=np.uint8)
    expected[(shingles % np.uint64(bits)).astype(int)] = 1
    unpacked = np.unpackbits(folded(sketch_of(shingles), bits).view(np.uint8), bitorder="little")
    assert np.array_equal(unpacked, expected)


def test_bounds_of_chosen_rows_stand_in_their_order_after_growth_and_removal():
    sets = [drawn(seed, 600 + seed, 0)[0] for seed in range(200)]
    sketches = sketches_of(*sets)
    sketches.remove(3)
    sets[3] = sets.pop()
    assert len(sketches) == len(sets)
    for row in (0, 3, 198):
        made = sketch_of(sets[row])
        rows, at_most = sketches.narrow(np.array([row, 5]), made, len(sets[row]), 0.0)
        assert rows.tolist() == [row, 5]
        assert at_most[0] == 1.0
        assert at_most[1] == 1.0 if row == 5 else at_most[1] < 0.5
        assert np.flatnonzero(sketches.glance(made, len(sets[row]))[0] == 1.0).tolist() == [row]
