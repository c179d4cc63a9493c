"""From an evaluation's end to a slot's verdict. Pure.

A bad candidate is data: it is judged, never raised. A platform fault is neither good nor bad: such a
slot is lost and leaves every denominator (arXiv 2605.04903 counted infrastructure failures into some of
its rates, and its code raised on accuracies under 1.2 × chance).
"""

import math
from dataclasses import dataclass

from contracts.failures import Failure, FailureReason
from contracts.measurements import Measurement
from contracts.names import EvaluationState, SlotState
from gateway.domain.candidate import Score, SlotFailure

PLAUSIBLE_TIMES_CHANCE = 1.2
"""An accuracy under this multiple of chance says nothing about the architecture (arXiv 2605.04903)."""


@dataclass(frozen=True)
class Verdict:
    """How a slot ends: `judged` with a score, or `failed` or `lost` with a failure."""

    state: SlotState
    score: Score | None = None
    failure: SlotFailure | None = None


def judge(
    state: EvaluationState,
    measurement: Measurement | None,
    failure: Failure | None,
    classes: int | None,
) -> Verdict:
    """The verdict on a terminal evaluation of a dataset with `classes` classes (None: unknown).

    Raises ValueError for an evaluation that has not ended.
    """
    if not state.is_terminal:
        raise ValueError(f"an evaluation in state {state.value!r} cannot be judged yet")
    if state is EvaluationState.CANCELLED:
        return _lost("its evaluation was cancelled")
    if state is EvaluationState.SUCCEEDED and measurement is not None:
        return _judge_measurement(measurement, classes)
    if failure is None:
        return _lost("its evaluation ended without a measurement and without a failure")
    if failure.reason is FailureReason.INFRASTRUCTURE:
        return _lost(failure.message)
    code = failure.phase or failure.resource
    return Verdict(
        SlotState.FAILED,
        failure=SlotFailure(failure.reason.value, failure.message, code.value if code else ""),
    )


def trace_loss(state: EvaluationState, failure: Failure | None) -> str | None:
    """Why a slot is lost with its trace, which has ended; None where it goes on, be it traced or not.

    That a candidate's own code broke its trace says nothing of it but that its graph is unknown.
    """
    if state is EvaluationState.CANCELLED:
        return "its trace was cancelled"
    if state is EvaluationState.SUCCEEDED:
        return None
    if failure is None:
        return "its trace ended without a result and without a failure"
    return failure.message if failure.reason is FailureReason.INFRASTRUCTURE else None


def is_plausible(accuracy: float, classes: int | None) -> bool:
    """Whether an accuracy is more than chance explains. Raises nothing, whatever the accuracy."""
    if classes is None or classes < 1:
        return True
    # One class makes every answer right: nothing can be learned from it, so nothing is elite.
    return accuracy >= PLAUSIBLE_TIMES_CHANCE / classes


def _judge_measurement(measurement: Measurement, classes: int | None) -> Verdict:
    # The host computed this number; were it no fraction, the platform would be at fault, not the candidate.
    if not math.isfinite(measurement.accuracy) or not 0 <= measurement.accuracy <= 1:
        return _lost(f"the measured accuracy {measurement.accuracy!r} is not a fraction")
    score = Score(
        accuracy=measurement.accuracy,
        accuracy_standard_error=measurement.accuracy_standard_error,
        audit_accuracy=measurement.audit_accuracy,
        cpu_seconds=measurement.cpu_seconds,
        peak_memory_bytes=measurement.peak_memory_bytes,
        claimed_parameters=_believable(measurement.claimed_parameters),
        plausible=is_plausible(measurement.accuracy, classes),
    )
    return Verdict(SlotState.JUDGED, score=score)


def _believable(parameters: int | None) -> int | None:
    """The guest's own count; None when no network could have it."""
    return parameters if parameters is not None and 0 <= parameters < 2**53 else None


def _lost(message: str) -> Verdict:
    return Verdict(SlotState.LOST, failure=SlotFailure(FailureReason.INFRASTRUCTURE.value, message))
