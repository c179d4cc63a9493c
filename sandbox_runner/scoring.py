"""Scores answers where the candidate never ran: secret order, exact shapes, totals. Pure numpy."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.names import MAX_PREDICT_BATCH

LOGIT_BYTES = 4


class LogitsNotFinite(Exception):
    """An answer holds NaN or infinity."""


@dataclass(frozen=True)
class Score:
    """Accuracies are fractions in [0, 1]. `audit_*` are about the sealed half, where there is one."""

    accuracy: float
    standard_error: float
    evaluated_images: int
    audit_accuracy: float | None
    audit_images: int


def secret_order(shuffle_key: str, images: int) -> NDArray[np.int64]:
    """A permutation of range(images) that only the key's holder can foretell.

    Ranks are the output of SHAKE-256 over the key, so the order is the same on every platform and numpy.
    """
    stream = hashlib.shake_256(b"deltanas evaluation order\0" + shuffle_key.encode()).digest(8 * images)
    return np.argsort(np.frombuffer(stream, dtype="<u8"), kind="stable").astype(np.int64)


def batches_of(order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut an order into batches of at most MAX_PREDICT_BATCH."""
    for start in range(0, len(order), MAX_PREDICT_BATCH):
        yield order[start : start + MAX_PREDICT_BATCH]


def predicted_classes(answer: bytes, images: int, classes: int) -> NDArray[np.int64]:
    """The class of the largest logit for each image; of equal ones the first.

    `answer` is float32 little-endian of exactly images × classes. Raises LogitsNotFinite.
    """
    logits = np.frombuffer(answer, dtype="<f4").reshape(images, classes)
    if not np.isfinite(logits).all():
        raise LogitsNotFinite(
            f"{int((~np.isfinite(logits)).sum())} of {logits.size} logits are NaN or infinite"
        )
    return logits.argmax(axis=1).astype(np.int64)


def score(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], selection: NDArray[np.bool_] | None
) -> Score:
    """Score predictions in dataset order; with `selection`, each half apart."""
    correct = predicted == labels
    if selection is None:
        accuracy, error = _share(correct)
        return Score(accuracy, error, len(labels), None, 0)
    accuracy, error = _share(correct[selection])
    audit, _ = _share(correct[~selection])
    return Score(accuracy, error, int(selection.sum()), audit, int((~selection).sum()))


def _share(correct: NDArray[Any]) -> tuple[float, float]:
    """The share of correct answers and its binomial standard error sqrt(p (1 - p) / n)."""
    share = float(correct.mean())
    return share, math.sqrt(share * (1 - share) / len(correct))
