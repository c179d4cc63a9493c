"""Fingerprints as bytes. Each begins with the hash scheme it was made by, so that no two schemes ever mix."""

import numpy as np

from filter_svc.fingerprints import HASH_SCHEME, Fingerprint, Hashes, Outline, sketch_bits

_END = b"\0"
_DIGEST_BYTES = 32
_SIZE_BYTES = 4


class OtherScheme(Exception):
    """The bytes were made by another hash scheme; only the source can be used."""


class Unreadable(Exception):
    """The bytes are not what this scheme makes."""


def outline_bytes(made: Fingerprint) -> bytes:
    """Digest, number of shingles and sketch."""
    size = len(made.shingles).to_bytes(_SIZE_BYTES, "little")
    return _scheme() + made.digest + size + made.sketch.astype("<u8").tobytes()


def outline_from(content: bytes) -> Outline:
    """Raises OtherScheme, Unreadable."""
    body = _of_this_scheme(content)
    sketch_at = _DIGEST_BYTES + _SIZE_BYTES
    size = int.from_bytes(body[_DIGEST_BYTES:sketch_at], "little")
    if not size:
        raise Unreadable("an outline has no shingles")
    if len(body) != sketch_at + sketch_bits(size) // 8:
        raise Unreadable("an outline has the wrong size")
    return Outline(body[:_DIGEST_BYTES], size, _hashes(body[sketch_at:]))


def shingle_bytes(made: Fingerprint) -> bytes:
    """All shingles."""
    return _scheme() + made.shingles.astype("<u8").tobytes()


def shingles_from(content: bytes) -> Hashes:
    """Raises OtherScheme, Unreadable."""
    body = _of_this_scheme(content)
    if not body or len(body) % 8:
        raise Unreadable("a set of shingles has the wrong size")
    return _hashes(body)


def _scheme() -> bytes:
    return HASH_SCHEME.encode() + _END


def _of_this_scheme(content: bytes) -> bytes:
    scheme, end, body = content.partition(_END)
    if not end:
        raise Unreadable("a fingerprint does not say by which scheme it was made")
    if scheme != HASH_SCHEME.encode():
        raise OtherScheme(scheme.decode(errors="replace")[:100])
    return body


def _hashes(content: bytes) -> Hashes:
    return np.frombuffer(content, dtype="<u8").astype(np.uint64, copy=False)
