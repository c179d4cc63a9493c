"""What a network's `forward` may return: one plain float tensor of shape (batch, classes)."""

from typing import Any

import numpy as np
import torch

from contracts.failures import FailureReason
from sandbox_runner.guest.failures import CandidateFailure


def logits_of(output: object, images: int, classes: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The output as float32 (images, classes). Raises CandidateFailure with invalid_result.

    Subclasses of Tensor are refused: they compute when looked at. Values are not judged here.
    """
    if type(output) is not torch.Tensor:
        raise _invalid(f"`forward` returned a {type(output).__name__}; it must return a torch.Tensor")
    if output.is_nested or output.is_meta or output.layout is not torch.strided:
        raise _invalid("`forward` returned a nested, meta or sparse tensor; it must return a dense one")
    if tuple(output.shape) != (images, classes):
        raise _invalid(f"`forward` returned shape {tuple(output.shape)}; it must be {(images, classes)}")
    if not output.dtype.is_floating_point:
        raise _invalid(f"`forward` returned {output.dtype}; it must be a floating-point type")
    # Forced: a tensor may be lazily negated or conjugated, with every number there all the same.
    return output.detach().to("cpu", torch.float32).contiguous().numpy(force=True)


def payload_of(logits: object, images: int, classes: int) -> bytes:
    """The bytes of a LOGITS frame. Raises CandidateFailure with invalid_result."""
    if type(logits) is not np.ndarray or logits.dtype != np.float32 or logits.shape != (images, classes):
        raise _invalid("the prediction is not a float32 array of shape (batch, classes)")
    return logits.astype("<f4").tobytes()


def _invalid(message: str) -> CandidateFailure:
    return CandidateFailure(FailureReason.INVALID_RESULT, message)
