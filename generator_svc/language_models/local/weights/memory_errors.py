"""Recognises that memory was refused, by whomever."""

import torch


def is_memory_error(error: BaseException) -> bool:
    """Whether this is a refusal of memory; torch says so on a CPU in a plain RuntimeError."""
    refused = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return refused or (isinstance(error, RuntimeError) and "allocate memory" in str(error))
