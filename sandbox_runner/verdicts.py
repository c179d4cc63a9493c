"""The one failure of a stopped attempt.

What the kernel counted outranks the host's clocks, those outrank what the guest says of itself, and that
outranks a bare exit.
"""

import json
import signal
from typing import Any

from contracts.failures import Failure, FailureReason, MemoryResource, TimeoutPhase
from contracts.measurements import Limits
from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Exit, Usage
from sandbox_runner.stops import Stop, StopKind
from sandbox_runner.untrusted_text import quoted

MAX_MESSAGE_CHARACTERS = 2000
MAX_LOCATION_CHARACTERS = 200

_BELIEVED_REASONS = frozenset(
    {"contract_violation", "non_finite", "out_of_memory", "disk_limit", "pids_limit", "invalid_result"}
)
"""What a guest may say against itself; above all it cannot call its failure the platform's."""


def failure_of(stop: Stop, phase: Phase, usage: Usage, ended: Exit | None, limits: Limits) -> Failure:
    """Judge a stop. `usage` and `ended` are read after the kill."""
    if stop.kind is StopKind.CANCELLED:
        return infrastructure("the attempt was cancelled")
    if phase.before_candidate:
        return infrastructure(f"the guest did not start: {_what_happened(stop, usage, ended)}")
    if usage.memory_limit_hits or stop.kind is StopKind.MEMORY:
        message = f"the kernel ended a process: limits.memory_bytes = {limits.memory_bytes} was reached"
        return Failure(FailureReason.OUT_OF_MEMORY, message, resource=MemoryResource.HOST)
    if usage.pids_limit_hits:
        message = f"a fork or thread was refused: limits.pids = {limits.pids} was reached"
        return Failure(FailureReason.PIDS_LIMIT, message)
    match stop.kind:
        case StopKind.OUTPUT:
            return Failure(FailureReason.OUTPUT_LIMIT, stop.message)
        case StopKind.WALL_TIMEOUT:
            return Failure(FailureReason.TIMEOUT, stop.message, phase=TimeoutPhase.WALL)
        case StopKind.PHASE_TIMEOUT:
            return Failure(FailureReason.TIMEOUT, stop.message, phase=phase.timeout_phase)
        case StopKind.MALFORMED:
            return Failure(FailureReason.INVALID_RESULT, f"while {phase}: {stop.message}")
        case StopKind.NOT_FINITE:
            return Failure(FailureReason.NON_FINITE, stop.message)
        case StopKind.FAILED:
            return _own_word(stop.payload, phase)
    return _exited(ended, phase)


def infrastructure(message: str) -> Failure:
    """The platform's own failure, bounded and escaped like all others."""
    return Failure(FailureReason.INFRASTRUCTURE, quoted(message, MAX_MESSAGE_CHARACTERS))


def _own_word(payload: bytes, phase: Phase) -> Failure:
    """What the guest says against itself, as far as it may."""
    try:
        document = json.loads(payload)
        reason, message = document["reason"], document["message"]
        location = document.get("location")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Failure(FailureReason.INVALID_RESULT, f"while {phase}: an unreadable failure was sent")
    message = quoted(message, MAX_MESSAGE_CHARACTERS) if isinstance(message, str) else ""
    location = quoted(location, MAX_LOCATION_CHARACTERS) if isinstance(location, str) else None
    known = phase.failure_reason
    if isinstance(reason, str) and reason in _BELIEVED_REASONS:
        known = FailureReason(reason)
    resource = _resource(document) if known is FailureReason.OUT_OF_MEMORY else None
    return Failure(known, message or f"failed while {phase}", resource=resource, location=location)


def _resource(document: dict[str, Any]) -> MemoryResource:
    return MemoryResource.GPU if document.get("resource") == "gpu" else MemoryResource.HOST


def _exited(ended: Exit | None, phase: Phase) -> Failure:
    """A process that ended without a word: never a success, whatever its code."""
    if ended is not None and ended.signal is not None:
        return Failure(FailureReason.SIGNALLED, f"ended by {_signal_name(ended.signal)} while {phase}")
    if ended is None or ended.code == 0:
        return Failure(FailureReason.INVALID_RESULT, f"the process ended while {phase}, before its answer")
    return Failure(phase.failure_reason, f"the process exited with code {ended.code} while {phase}")


def _what_happened(stop: Stop, usage: Usage, ended: Exit | None) -> str:
    if usage.memory_limit_hits:
        return "it ran out of memory before it had read its job"
    if stop.payload:
        return stop.payload.decode("utf-8", "replace")
    if stop.message:
        return stop.message
    return "no exit status" if ended is None else f"exit code {ended.code}, signal {ended.signal}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
