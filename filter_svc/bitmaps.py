"""Bitmaps as rows of 64-bit words: how many bits are set, and what that says of the sets behind them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from filter_svc.fingerprints import Hashes

Rows = NDArray[np.intp]
Integers = NDArray[np.int32]
Numbers = NDArray[np.float64]


def bits_of(bitmap: Hashes) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(bitmap).sum())


def bits_of_each(bitmaps: Hashes) -> Integers:
    """How many are set in each row."""
    found: Integers = np.bitwise_count(bitmaps).sum(axis=1, dtype=np.int32)
    return found


def most_alike(size: int, own_bits: int, sizes: Integers, bits: Integers, common_bits: Integers) -> Numbers:
    """What the Jaccard index of a set with others is at most, by the bits that they set alone and in common.

    Computed as `fingerprints.jaccard` computes the index, so it is never below it.
    """
    most_common = np.minimum(size - own_bits, sizes - bits) + common_bits
    found: Numbers = most_common / (size + sizes - most_common)
    return found


def doubled(values: NDArray[Any]) -> NDArray[Any]:
    """With as many zero rows again."""
    return np.concatenate([values, np.zeros_like(values)])
