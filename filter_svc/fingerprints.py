"""What is compared of an architecture: the hash of its canonical source, its shingles, their sketch.

A shingle is 7 consecutive tokens (arXiv 2605.04903) of the canonical source. The same shingle met
again counts again, as a shingle of its own: four equal blocks are not a copy of three. Similarity is
the exact Jaccard index of two shingle sets; the MinHash sketch only finds whom to compare with.
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from datasketch import LeanMinHash, MinHash
from numpy.typing import NDArray

from filter_svc.canonical import CANONICAL_VERSION, canonical_source

SHINGLE_TOKENS = 7
PERMUTATIONS = 128
SKETCH_SEED = 1
SKETCH_SCHEME = "affine64"
RECALL = 0.999

FINGERPRINT_VERSION = (
    f"{CANONICAL_VERSION}/{SHINGLE_TOKENS}/{PERMUTATIONS}/{SKETCH_SEED}/{SKETCH_SCHEME}"
    f"/python{sys.version_info.major}.{sys.version_info.minor}"
)
"""Fingerprints are comparable only within one version. `ast.unparse` differs a little between Pythons."""

# `ast.unparse` writes every string on one line and indents by four, so this is all of Python that occurs.
TOKEN = re.compile(
    r"""(?P<string>[bB]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))|[^\W\d]\w*|\d[\w.]*(?:(?<=e)[-+]\d+j?)?"""
    r"""|\*\*=?|//=?|>>=?|<<=?|[-+*/%&|^@=!<>:]=|->|\n[ ]*|\S"""
)

Hashes = NDArray[np.uint64]


class Banding(NamedTuple):
    """How a sketch is cut for the index: two architectures meet if all rows of any band are equal."""

    bands: int
    rows: int

    def recall(self, jaccard: float) -> float:
        """The probability that a pair of that similarity meets: 1 - (1 - J^rows)^bands."""
        return 1.0 - (1.0 - jaccard**self.rows) ** self.bands


@lru_cache(maxsize=256)
def banding_for(threshold: float) -> Banding | None:
    """The most selective banding that still meets 99.9 % of the pairs at the threshold itself.

    At 0.90 that is 16 bands of 8 rows (0.9999); the 5 bands of 25 that datasketch would choose to
    balance both kinds of error meet 31 %. Misses cannot be mended later, surplus candidates can: the
    exact Jaccard index decides. None where no banding reaches so far down: then all are compared.
    """
    for rows in range(PERMUTATIONS // 2, 0, -1):
        banding = Banding(PERMUTATIONS // rows, rows)
        if banding.recall(threshold) >= RECALL:
            return banding
    return None


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One architecture as the index keeps it."""

    digest: bytes
    """SHA-256 of the canonical source."""
    shingles: Hashes
    """Sorted 64-bit hashes, each once."""
    sketch: Hashes
    """MinHash of the shingles, one value for each permutation."""


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


def sketch_of(shingles: Hashes) -> Hashes:
    """MinHash values, comparable with those of every other sketch of this version."""
    sketch = _empty_sketch().copy()
    sketch.update_batch(shingles)
    return np.asarray(sketch.hashvalues, dtype=np.uint64)


@cache
def _empty_sketch() -> MinHash:
    """Drawing the permutations takes longer than using them."""
    return MinHash(num_perm=PERMUTATIONS, seed=SKETCH_SEED, scheme=SKETCH_SCHEME, hashfunc=int)


def as_minhash(sketch: Hashes) -> LeanMinHash:
    """The sketch in the form that datasketch's index takes."""
    return LeanMinHash(hashvalues=sketch, seed=SKETCH_SEED, scheme=SKETCH_SCHEME)


def jaccard(left: Hashes, right: Hashes) -> float:
    """Exact Jaccard index in [0, 1] of two sorted sets of hashes."""
    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / (len(left) + len(right) - common)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
