"""Reports come from a host that ran hostile code: what is impossible is refused, what is quoted is cut.

Pure. An outcome that cannot be true becomes an infrastructure failure: the platform erred, not the candidate.
"""

import math
from dataclasses import replace
from typing import TypeVar

from contracts.computation_graph import GraphMalformed, graph_from
from contracts.failures import Failure, FailureReason
from contracts.jobs import AttemptOutcome
from contracts.measurements import Isolation, Measurement, Provenance, SmokeResult, TraceResult
from contracts.names import AttemptKind, IsolationTier, ScoredOn

MAX_LOG_CHARACTERS = 512 * 1024
MAX_MESSAGE_CHARACTERS = 4000
MAX_LABEL_CHARACTERS = 300
MAX_FLAGS = 32
MAX_COUNT = 2**53
MAX_SECONDS = 1e9

_Trained = TypeVar("_Trained", Measurement, SmokeResult)
_RESULTS = {
    AttemptKind.EVALUATE: Measurement,
    AttemptKind.SMOKE: SmokeResult,
    AttemptKind.TRACE: TraceResult,
}


class OutcomeImpossible(ValueError):
    """A report contradicts itself or the attempt it is about."""


def checked_outcome(
    outcome: AttemptOutcome,
    *,
    scored_on: ScoredOn,
    minimum_tier: IsolationTier,
    kind: AttemptKind = AttemptKind.EVALUATE,
) -> AttemptOutcome:
    """The outcome, texts bounded and claims plain; or an infrastructure failure in its place."""
    try:
        _check(outcome, kind, scored_on, minimum_tier)
    except OutcomeImpossible as error:
        failure = Failure(FailureReason.INFRASTRUCTURE, f"the runner reported the impossible: {error}")
        return replace(_bounded(outcome), measurement=None, smoke=None, trace=None, failure=failure)
    return _bounded(outcome)


def _check(
    outcome: AttemptOutcome, kind: AttemptKind, scored_on: ScoredOn, minimum_tier: IsolationTier
) -> None:
    result = outcome.measurement or outcome.smoke or outcome.trace
    parts = (outcome.measurement, outcome.smoke, outcome.trace, outcome.failure)
    if sum(part is not None for part in parts) != 1:
        raise OutcomeImpossible("exactly one of measurement, smoke, trace and failure must be set")
    if result is None:
        return
    if type(result) is not _RESULTS[kind]:
        raise OutcomeImpossible(f"a {type(result).__name__} of an attempt of the kind {kind}")
    if outcome.isolation is None or outcome.provenance is None:
        raise OutcomeImpossible("a result without isolation or provenance")
    if outcome.isolation.tier.strength < minimum_tier.strength:
        raise OutcomeImpossible(f"it ran on {outcome.isolation.tier}, below {minimum_tier}")
    _check_costs(result)
    if isinstance(result, Measurement):
        _check_scores(result, scored_on)
    if isinstance(result, TraceResult):
        _check_trace(result)


def _check_trace(trace: TraceResult) -> None:
    if (trace.claimed_graph is None) == (trace.not_traceable is None):
        raise OutcomeImpossible("a trace has either a graph or the reason why it has none")
    if trace.claimed_graph is not None:
        try:
            graph_from(trace.claimed_graph)
        except GraphMalformed as error:
            raise OutcomeImpossible(f"a trace whose {error}") from error


def _check_scores(measurement: Measurement, scored_on: ScoredOn) -> None:
    if measurement.scored_on is not scored_on:
        raise OutcomeImpossible(f"scored on {measurement.scored_on} instead of {scored_on}")
    if (measurement.audit_accuracy is None) != (scored_on is ScoredOn.ALL):
        raise OutcomeImpossible("audit_accuracy belongs to searches, and to them alone")
    for name in ("accuracy", "accuracy_standard_error", "audit_accuracy"):
        value = getattr(measurement, name)
        if value is not None and not 0.0 <= value <= 1.0:
            raise OutcomeImpossible(f"{name} is outside [0, 1]")
    if measurement.evaluated_images == 0:
        raise OutcomeImpossible("no image was evaluated")


def _check_costs(result: Measurement | SmokeResult | TraceResult) -> None:
    for name in ("startup_seconds", "wall_seconds", "cpu_seconds"):
        if not 0.0 <= getattr(result, name) <= MAX_SECONDS:
            raise OutcomeImpossible(f"{name} is outside [0, {MAX_SECONDS:g}]")
    counts = ("evaluated_images", "answered_images", "audit_images")
    for name in (*counts, "peak_memory_bytes", "peak_gpu_memory_bytes"):
        value = getattr(result, name, None)
        if value is not None and not 0 <= value <= MAX_COUNT:
            raise OutcomeImpossible(f"{name} is outside [0, 2^53]")


def _bounded(outcome: AttemptOutcome) -> AttemptOutcome:
    measurement, smoke, failure = outcome.measurement, outcome.smoke, outcome.failure
    trace = outcome.trace
    return replace(
        outcome,
        measurement=None if measurement is None else _plain_claims(measurement),
        smoke=None if smoke is None else _plain_claims(smoke),
        trace=None if trace is None else _bounded_trace(trace),
        failure=None if failure is None else _bounded_failure(failure),
        isolation=None if outcome.isolation is None else _bounded_isolation(outcome.isolation),
        provenance=None if outcome.provenance is None else _bounded_provenance(outcome.provenance),
        flags=tuple(_cut(flag, MAX_LABEL_CHARACTERS) for flag in outcome.flags[:MAX_FLAGS]),
        log=_cut(outcome.log, MAX_LOG_CHARACTERS),
    )


def _bounded_trace(trace: TraceResult) -> TraceResult:
    reason = trace.not_traceable
    return replace(trace, not_traceable=None if reason is None else _cut(reason, MAX_MESSAGE_CHARACTERS))


def _plain_claims(result: _Trained) -> _Trained:
    """Claims are the guest's word: a senseless one is dropped, the result stands."""
    parameters = result.claimed_parameters
    return replace(
        result,
        claimed_train_seconds=_plain(result.claimed_train_seconds),
        claimed_predict_seconds=_plain(result.claimed_predict_seconds),
        claimed_train_loss=_plain(result.claimed_train_loss),
        claimed_parameters=parameters if parameters is not None and 0 <= parameters <= MAX_COUNT else None,
    )


def _plain(claim: float | None) -> float | None:
    return claim if claim is not None and math.isfinite(claim) else None


def _bounded_failure(failure: Failure) -> Failure:
    return replace(
        failure,
        message=_cut(failure.message, MAX_MESSAGE_CHARACTERS),
        location=None if failure.location is None else _cut(failure.location, MAX_LABEL_CHARACTERS),
        remedy=_cut(failure.remedy, MAX_LABEL_CHARACTERS),
    )


def _bounded_isolation(isolation: Isolation) -> Isolation:
    return replace(isolation, backend=_cut(isolation.backend, MAX_LABEL_CHARACTERS))


def _bounded_provenance(provenance: Provenance) -> Provenance:
    details = sorted(provenance.details.items())[:MAX_FLAGS]
    return replace(
        provenance,
        details={_cut(k, MAX_LABEL_CHARACTERS): _cut(v, MAX_LABEL_CHARACTERS) for k, v in details},
    )


def _cut(text: str, limit: int) -> str:
    # NUL has no place in a PostgreSQL text, nor on anyone's terminal.
    plain = text.replace("\x00", "�")
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
