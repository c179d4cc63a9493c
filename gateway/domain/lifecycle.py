"""Where an evaluation stands, given its attempts. Pure: the store applies what is decided here."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.failures import Failure, FailureReason
from contracts.measurements import Measurement, SmokeResult, TraceResult
from contracts.names import AttemptState, EvaluationState
from gateway.domain.aggregation import mean_over_seeds

MAX_TRIES = 3
"""Attempts at one seed that the platform may lose before the evaluation ends (docs/architecture.md)."""

RETRY_DELAYS_SECONDS = (1.0, 5.0)
"""Rest of a seed after its first and second loss, so that a host in trouble does not burn all tries."""


@dataclass(frozen=True)
class AttemptFacts:
    """What decides: which seed, how it stands, what it brought."""

    seed: int
    state: AttemptState
    measurement: Measurement | None = None
    failure: Failure | None = None
    smoke: SmokeResult | None = None
    trace: TraceResult | None = None

    @property
    def has_result(self) -> bool:
        """Whether its seed is done."""
        return self.measurement is not None or self.smoke is not None or self.trace is not None


@dataclass(frozen=True)
class Standing:
    """The evaluation's state now, and the seeds that need another attempt, each with its delay in seconds."""

    state: EvaluationState
    measurement: Measurement | None = None
    failure: Failure | None = None
    retries: tuple[tuple[int, float], ...] = ()
    smoke: SmokeResult | None = None
    trace: TraceResult | None = None


def standing(seeds: Sequence[int], attempts: Sequence[AttemptFacts]) -> Standing:
    """Judge an evaluation that nobody cancelled. `attempts` in the order of their fences.

    A candidate's own failure at any seed ends it; so does a seed that the platform lost MAX_TRIES times.
    """
    own_failure = next((a.failure for a in attempts if _is_own_failure(a)), None)
    if own_failure is not None:
        return Standing(EvaluationState.FAILED, failure=own_failure)
    of_seed = {seed: [a for a in attempts if a.seed == seed] for seed in seeds}
    losses = {seed: [a for a in tries if _is_loss(a)] for seed, tries in of_seed.items()}
    open_seeds = [
        seed for seed, tries in of_seed.items() if not any(_is_pending(a) or a.has_result for a in tries)
    ]
    for seed in open_seeds:
        if len(losses[seed]) >= MAX_TRIES:
            return Standing(EvaluationState.FAILED, failure=_infrastructure(losses[seed]))
    done = [a for a in attempts if a.has_result]
    if len(done) == len(seeds):
        return _succeeded(done)
    runs = done or any(a.state is AttemptState.LEASED for a in attempts)
    return Standing(
        EvaluationState.RUNNING if runs else EvaluationState.QUEUED,
        retries=tuple((seed, retry_delay(len(losses[seed]))) for seed in open_seeds),
    )


def _succeeded(done: Sequence[AttemptFacts]) -> Standing:
    smokes = [a.smoke for a in done if a.smoke is not None]
    if smokes:
        return Standing(EvaluationState.SUCCEEDED, smoke=max(smokes, key=lambda smoke: smoke.cpu_seconds))
    traces = [a.trace for a in done if a.trace is not None]
    if traces:
        return Standing(EvaluationState.SUCCEEDED, trace=traces[0])
    measured = [a.measurement for a in done if a.measurement is not None]
    return Standing(EvaluationState.SUCCEEDED, measurement=mean_over_seeds(measured))


def retry_delay(losses: int) -> float:
    """Seconds a seed rests before its next attempt."""
    return 0.0 if losses == 0 else RETRY_DELAYS_SECONDS[min(losses, len(RETRY_DELAYS_SECONDS)) - 1]


def _is_pending(attempt: AttemptFacts) -> bool:
    return attempt.state in {AttemptState.QUEUED, AttemptState.LEASED}


def _is_own_failure(attempt: AttemptFacts) -> bool:
    return attempt.failure is not None and attempt.failure.reason is not FailureReason.INFRASTRUCTURE


def _is_loss(attempt: AttemptFacts) -> bool:
    return attempt.state is AttemptState.LOST or (
        attempt.failure is not None and attempt.failure.reason is FailureReason.INFRASTRUCTURE
    )


def _infrastructure(losses: Sequence[AttemptFacts]) -> Failure:
    last = next((a.failure.message for a in reversed(losses) if a.failure is not None), "the worker vanished")
    return Failure(
        FailureReason.INFRASTRUCTURE,
        f"{len(losses)} attempts with seed {losses[0].seed} were lost by the platform; the last: {last}",
    )
