"""Stratified orders drawn from a key. Pure, and the same on every machine and numpy version.

The key stream is SHAKE-256 over the key and a purpose: who does not know the key cannot guess the
order, unlike with a seeded generator whose few bits of state can be searched. Leaves out where keys
come from.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Indices = NDArray[np.int64]


def keyed_ranks(key: bytes, purpose: str, count: int) -> NDArray[np.uint64]:
    """`count` uint64 values; sorting by them permutes. Different keys or purposes are independent."""
    name = purpose.encode()
    seed = len(name).to_bytes(2, "little") + name + key
    stream = hashlib.shake_256(seed).digest(8 * count)
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


def shuffled_within_classes(labels: Labels, key: bytes, purpose: str) -> list[Indices]:
    """The indices of each class that occurs, in ascending class order, each list in keyed order."""
    order = np.lexsort((keyed_ranks(key, purpose, len(labels)), labels))
    boundaries = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(order.astype(np.int64), boundaries)


def interleaved(groups: list[Indices], key: bytes, purpose: str) -> Indices:
    """One order of all groups in which every prefix holds each group in proportion, within one or two.

    Member r of a group of n goes to position (r + u) / n, u uniform in [0, 1) from the key.
    """
    members = np.concatenate(groups)
    jitter = keyed_ranks(key, purpose, len(members)).astype(np.float64) / 2.0**64
    ranks = np.concatenate([np.arange(len(group)) for group in groups])
    sizes = np.concatenate([np.full(len(group), len(group)) for group in groups])
    return members[np.argsort((ranks + jitter) / sizes, kind="stable")]


def first_half(labels: Labels, key: bytes, purpose: str) -> NDArray[np.bool_]:
    """Mask of one half; the other is its complement. Per class the two differ by at most one image.

    Odd classes give their extra image to either half in turn, so that the halves' totals differ by at
    most one too.
    """
    mask = np.zeros(len(labels), dtype=np.bool_)
    extra = 0
    for group in shuffled_within_classes(labels, key, purpose):
        mask[group[: (len(group) + extra) // 2]] = True
        extra ^= len(group) & 1
    return mask
