"""The bytes between the host and the guest of one attempt (docs/architecture.md, promise 1).

Two one-way pipes carry frames: one byte of kind, four bytes little-endian length, payload. The host
speaks JOB, then BATCH after BATCH, each only after the full answer to the one before, then FINISH.
The guest speaks IMPORTED (it waits for its job), READY (the candidate's first line comes next), BUILT,
TRAINED, one LOGITS for each BATCH, or FAILED. In a trace, TRACED follows BUILT, and then comes FINISH.
Everything the guest sends is hostile: the host checks kind and exact length against what it expects at
that moment, and treats anything else as an invalid result. Pure encoding; reading and writing belong to
the two ends.
"""

import struct
from enum import IntEnum

from contracts.computation_graph import MAX_GRAPH_BYTES

HEADER = struct.Struct("<BI")


class FrameKind(IntEnum):
    """The kind byte of a frame."""

    JOB = 1
    """host → guest: JSON with source, contract, data description, epochs, seed, threads, hyperparameters, and
    whether it is a trace."""
    BATCH = 2
    """host → guest: raw uint8 pixels, n × channels × height × width, C order; n follows from the length."""
    FINISH = 3
    """host → guest: empty; the guest exits with 0."""
    IMPORTED = 15
    """guest → host: empty; everything is imported and no job has been read. A guest may wait like this."""
    READY = 16
    """guest → host: empty, just before the candidate's first line."""
    BUILT = 17
    """guest → host: empty; `Net` is constructed."""
    TRAINED = 18
    """guest → host: JSON claims: train_seconds, parameters, train_loss. Training is closed."""
    LOGITS = 19
    """guest → host: float32 little-endian, exactly n × classes."""
    FAILED = 20
    """guest → host: JSON: reason (a FailureReason), message, location. The guest's word, against itself."""
    TRACED = 21
    """guest → host: JSON with one field: graph (text of `contracts.computation_graph`) or not_traceable."""


MAX_JOB_BYTES = 512 * 1024
MAX_CLAIMS_BYTES = 4 * 1024
MAX_FAILURE_BYTES = 16 * 1024
MAX_TRACE_BYTES = 2 * MAX_GRAPH_BYTES
"""A graph as a text within JSON."""

GUEST_READ_FD = 3
"""Descriptor on which the guest reads frames; stdin is /dev/null."""
GUEST_WRITE_FD = 4
"""Descriptor on which the guest writes frames; stdout and stderr are the log."""


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """One frame, header and payload."""
    return HEADER.pack(kind, len(payload)) + payload


def decode_header(header: bytes) -> tuple[int, int]:
    """Kind and payload length from the 5 header bytes. The kind may be unknown: the caller decides."""
    kind, length = HEADER.unpack(header)
    return kind, length
