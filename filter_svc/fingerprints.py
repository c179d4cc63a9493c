"""What is compared of an architecture: the hash of its canonical source, its shingles, their sketch.

A shingle is 7 consecutive tokens (arXiv 2605.04903) of the canonical source. The same shingle met
again counts again, as a shingle of its own: four equal blocks are not a copy of three. Similarity is
the exact Jaccard index of two shingle sets. The sketch, a bitmap in which every shingle sets one bit, bounds
that index from above with certainty, so it tells who need not be compared with.
"""

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from filter_svc.canonical import CANONICAL_VERSION, canonical_source

SHINGLE_TOKENS = 7
SKETCH_BITS_A_SHINGLE = 12
LEAST_SKETCH_BITS = 8192
MOST_SKETCH_BITS = 131_072
"""Powers of two: so a shorter sketch is in each (`folded`)."""

HASH_SCHEME = (
    f"{CANONICAL_VERSION}/{SHINGLE_TOKENS}/blake2b-64"
    f"/{SKETCH_BITS_A_SHINGLE}:{LEAST_SKETCH_BITS}-{MOST_SKETCH_BITS}"
    f"/python{sys.version_info.major}.{sys.version_info.minor}"
)
"""Fingerprints are comparable only within one scheme. `ast.unparse` differs a little between Pythons."""

FINGERPRINTS_KEPT = 64
"""A source is screened against several scopes and then admitted to some: it is canonicalised once."""

# `ast.unparse` writes every string on one line and indents by four, so this is all of Python that occurs.
TOKEN = re.compile(
    r"""(?P<string>[bB]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))|[^\W\d]\w*|\d[\w.]*(?:(?<=e)[-+]\d+j?)?"""
    r"""|\*\*=?|//=?|>>=?|<<=?|[-+*/%&|^@=!<>:]=|->|\n[ ]*|\S"""
)

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One architecture as the index keeps it."""

    digest: bytes
    """SHA-256 of the canonical source."""
    shingles: Hashes
    """Sorted 64-bit hashes, each once."""
    sketch: Hashes
    """`sketch_bits` of their number, in words of 64."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What of a fingerprint is held in memory."""

    digest: bytes
    size: int
    """How many shingles there are."""
    sketch: Hashes


@lru_cache(maxsize=FINGERPRINTS_KEPT)
def fingerprint(source: str) -> Fingerprint:
    """Raises filter_svc.canonical.NotScreenable."""
    text = canonical_source(source)
    shingles = shingle_hashes(tokens_of(text))
    return Fingerprint(hashlib.sha256(_encoded(text)).digest(), shingles, sketch_of(shingles))


def tokens_of(canonical: str) -> list[str]:
    """Tokens of a canonical source; a line end carries the indentation of the next line."""
    return [match.group() for match in TOKEN.finditer(canonical)]


def shingle_hashes(tokens: list[str]) -> Hashes:
    """Sorted hashes of all runs of SHINGLE_TOKENS tokens, the n-th of equal ones told from the first."""
    encoded = [_encoded(token) for token in tokens]
    seen: dict[bytes, int] = {}
    hashes: list[int] = []
    for start in range(max(1, len(encoded) - SHINGLE_TOKENS + 1)):
        shingle = b"\0".join(encoded[start : start + SHINGLE_TOKENS])
        count = seen.get(shingle, 0)
        seen[shingle] = count + 1
        numbered = shingle + b"\0\0" + count.to_bytes(4, "little")
        hashes.append(int.from_bytes(hashlib.blake2b(numbered, digest_size=8).digest(), "little"))
    return np.unique(np.array(hashes, dtype=np.uint64))


def sketch_bits(size: int) -> int:
    """How many bits the sketch of so many shingles has: so many that few of them share one."""
    wanted = 1 << (SKETCH_BITS_A_SHINGLE * size - 1).bit_length()
    return min(max(wanted, LEAST_SKETCH_BITS), MOST_SKETCH_BITS)


def sketch_of(shingles: Hashes) -> Hashes:
    """The bitmap in which the lowest bits of each hash say which bit it sets."""
    length = sketch_bits(len(shingles))
    bits = np.zeros(length, dtype=np.uint8)
    bits[(shingles % np.uint64(length)).astype(np.intp)] = 1
    return np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)


def folded(sketch: Hashes, bits: int) -> Hashes:
    """The shorter bitmap of the same shingles; `bits` is a power of two, as many as it has at most."""
    return np.bitwise_or.reduce(sketch.reshape(-1, bits // 64), axis=0)


def jaccard(left: Hashes, right: Hashes) -> float:
    """Exact Jaccard index in [0, 1] of two sorted sets of hashes, none of them empty."""
    return jaccards(left, [right])[0]


def jaccards(one: Hashes, others: Sequence[Hashes]) -> list[float]:
    """That of one with each of some others, at once: many are searched as fast as one."""
    if not others:
        return []
    sizes = np.array([len(other) for other in others])
    every = np.concatenate(others)
    places = np.searchsorted(one, every)
    places[places == len(one)] = 0
    common = np.add.reduceat(one[places] == every, np.cumsum(sizes) - sizes, dtype=np.int64)
    found: list[float] = (common / (len(one) + sizes - common)).tolist()
    return found


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
