"""Sketches bound the Jaccard index of shingle sets from above, whatever the sets are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filter_svc.fingerprints import SKETCH_BITS, folded, jaccard, sketch_of
from filter_svc.sketches import SHORT_BITS, Sketches


def drawn(seed: int, size: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of `size` hashes that have about that share in common."""
    rng = np.random.default_rng(seed)
    every = rng.integers(0, 2**64, 2 * size, dtype=np.uint64)
    common = int(size * share)
    return np.unique(every[:size]), np.unique(every[size - common : 2 * size - common])


@given(
    st.integers(0, 2**32), st.integers(1, 3 * SKETCH_BITS), st.floats(0, 1), st.integers(1, 3 * SKETCH_BITS)
)
def test_neither_bound_is_below_the_index_and_the_whole_sketch_bounds_no_less_closely(seed, size, share, cut):
    left, right = drawn(seed, size, share)
    right = right[:cut]
    sketches = Sketches()
    sketches.append(sketch_of(left), len(left))
    made = sketch_of(right)
    ((at_most,), _), (closely,) = (
        sketches.compare(made, len(right)),
        sketches.bound(np.array([0]), made, len(right)),
    )
    assert jaccard(left, right) <= closely <= at_most


def test_the_whole_sketch_tells_large_sets_apart_that_fill_the_short_one():
    left, right = drawn(1, 4000, 0.8)
    sketches = Sketches()
    sketches.append(sketch_of(left), len(left))
    made = sketch_of(right)
    (at_most,), _ = sketches.compare(made, len(right))
    (closely,) = sketches.bound(np.array([0]), made, len(right))
    assert at_most > 0.9 > closely > jaccard(left, right)


@pytest.mark.parametrize("bits", [64, SHORT_BITS, SKETCH_BITS])
def test_a_folded_sketch_is_that_of_as_many_bits(bits):
    shingles, _ = drawn(2, 500, 0)
    expected = np.zeros(bits, dtype=np.uint8)
    expected[(shingles % np.uint64(bits)).astype(int)] = 1
    unpacked = np.unpackbits(folded(sketch_of(shingles), bits).view(np.uint8), bitorder="little")
    assert np.array_equal(unpacked, expected)


def test_bounds_of_chosen_rows_stand_in_their_order_after_growth_and_removal():
    sets = [drawn(seed, 100 + seed, 0)[0] for seed in range(200)]
    sketches = Sketches()
    for one in sets:
        sketches.append(sketch_of(one), len(one))
    sketches.remove(3)
    sets[3] = sets.pop()
    assert len(sketches) == len(sets)
    for row in (0, 3, 198):
        bounds = sketches.bound(np.array([row, 5]), sketch_of(sets[row]), len(sets[row]))
        assert bounds[0] == 1.0
        assert bounds[1] == 1.0 if row == 5 else bounds[1] < 0.5
