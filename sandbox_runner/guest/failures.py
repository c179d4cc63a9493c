"""Turns whatever a candidate raised into one reason, one message and one line of its source.

The result is the guest's word against itself. The host bounds and escapes it again and overrules it with
what the kernel counted.
"""

import errno
import socket
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError

import torch

from contracts.failures import FailureReason, MemoryResource

CANDIDATE_FILE = "candidate.py"
"""The name under which tracebacks show the candidate's source."""

MAX_MESSAGE_CHARACTERS = 2000

_NETWORK_ERRNOS = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ECONNREFUSED, errno.EAFNOSUPPORT}
)
_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "cannot allocate memory")
_PIDS_WORDS = ("can't start new thread", "resource temporarily unavailable")
_NETWORK_WORDS = ("urlopen error", "name resolution", "network is unreachable")
"""What is left of a network error where a library makes text of it, as torchvision's downloads do."""
_DISK_WORDS = ("no space left on device", "file too large")


class CandidateFailure(Exception):
    """A candidate breaks a rule that the guest itself checks."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def describe(error: BaseException, phase_reason: FailureReason) -> dict[str, Any]:
    """The payload of a FAILED frame: reason, message, location and, for memory, the resource."""
    reason, resource, hint = _classify(error, phase_reason)
    document: dict[str, Any] = {
        "reason": reason.value,
        "message": (hint + _text_of(error))[:MAX_MESSAGE_CHARACTERS],
        "location": _location_of(error),
    }
    if resource is not None:
        document["resource"] = resource.value
    return document


def _classify(
    error: BaseException, phase_reason: FailureReason
) -> tuple[FailureReason, MemoryResource | None, str]:
    for cause in _causes(error):
        if isinstance(cause, CandidateFailure):
            return cause.reason, None, ""
        if isinstance(cause, torch.OutOfMemoryError):
            return FailureReason.OUT_OF_MEMORY, MemoryResource.GPU, ""
        words = _plain_text(cause).lower()
        number = getattr(cause, "errno", None)
        if isinstance(cause, MemoryError) or number == errno.ENOMEM or _has(words, _MEMORY_WORDS):
            return FailureReason.OUT_OF_MEMORY, MemoryResource.HOST, ""
        if number in _DISK_ERRNOS or _has(words, _DISK_WORDS):
            return FailureReason.DISK_LIMIT, None, ""
        if _is_network(cause) or _has(words, _NETWORK_WORDS):
            return phase_reason, None, "there is no network in the sandbox: "
        if number == errno.EAGAIN or _has(words, _PIDS_WORDS):
            return FailureReason.PIDS_LIMIT, None, ""
    if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        return phase_reason, None, "a candidate must not end the process: "
    return phase_reason, None, ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from or wraps; at most 8, so that a ring of causes ends."""
    cause: object = error
    for _ in range(8):
        if not isinstance(cause, BaseException):
            return
        yield cause
        cause = cause.__cause__ or getattr(cause, "reason", None) or cause.__context__


def _is_network(error: BaseException) -> bool:
    if isinstance(error, socket.gaierror | URLError):
        return True
    if not isinstance(error, OSError):
        return False
    if error.errno in _NETWORK_ERRNOS:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    refused = error.errno in {errno.EPERM, errno.EACCES}
    return refused and any(frame.filename.endswith("socket.py") for frame in frames)


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {_plain_text(error)}"


def _plain_text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE_CHARACTERS]
    except BaseException:  # noqa: BLE001 - an exception of the candidate may have a hostile __str__
        return "(its text cannot be shown)"


def _location_of(error: BaseException) -> str | None:
    if isinstance(error, SyntaxError) and error.filename == CANDIDATE_FILE:
        return f"line {error.lineno}"
    try:
        frames = traceback.extract_tb(error.__traceback__)
    except BaseException:  # noqa: BLE001 - the candidate may have spoilt the line cache
        return None
    lines = [frame.lineno for frame in frames if frame.filename == CANDIDATE_FILE]
    return f"line {lines[-1]}" if lines else None
