"""Holds an outcome against what the specimen must come to. Pure: outcomes in, sentences out."""

import re
from dataclasses import dataclass

from contracts.failures import Failure
from contracts.jobs import AttemptOutcome
from contracts.names import IsolationTier
from sandbox_runner.specimens.specimen import (
    EarnsConstantScore,
    EarnsTrueScore,
    Expectation,
    Fails,
    IsNotTraceable,
    IsTraced,
    Specimen,
)

MAX_MESSAGE = 2000
SHORTEST_SECONDS = 0.01
"""Nobody earns the true score without training three epochs, and they take longer (0.04 s were seen),
whatever a candidate does to the clocks that it can reach. Who answers without training may be quicker."""
UNSAFE = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")
"""What must be escaped in every text that comes from a guest."""


@dataclass(frozen=True)
class Scores:
    """What the honest network and a constant answer earn on this data set, and on how many images."""

    honest: float
    constant: float
    images: int


def shortcomings(
    specimen: Specimen, outcome: AttemptOutcome, tier: IsolationTier, scores: Scores
) -> tuple[str, ...]:
    """What is not as it must be, one sentence each; none means that the sandbox held."""
    expected = specimen.expected_on(tier)
    match expected:
        case Fails():
            found = _of_failure(outcome, expected)
        case EarnsTrueScore():
            found = _of_score(outcome, scores.honest, scores.images) + _of_time(outcome)
        case EarnsConstantScore():
            found = _of_score(outcome, scores.constant, scores.images)
        case IsTraced() | IsNotTraceable():
            found = _of_trace(outcome, expected)
    admitted = specimen.admitted.get(tier, ())
    found += [
        f"the sandbox let it through: {line}"
        for line in breaches(outcome.log)
        if line.strip() not in admitted
    ]
    if specimen.log_holds not in outcome.log:
        found.append(f"its log does not hold {specimen.log_holds!r}: the attack was not tried")
    if UNSAFE.search(outcome.log):
        found.append("its log holds characters that were not escaped")
    if outcome.isolation is None or outcome.isolation.tier is not tier:
        found.append(f"the outcome does not say that it ran under {tier}")
    return tuple(found)


def breaches(log: str) -> list[str]:
    """Lines in which a specimen says that it got somewhere."""
    return [line for line in log.splitlines() if "BREACH" in line]


def expectation_words(expected: Expectation) -> str:
    """In the words of results: `timeout(predict)`, `true score`."""
    match expected:
        case Fails():
            return _reason_words(expected.reason, expected.phase or expected.resource)
        case EarnsTrueScore():
            return "true score"
        case EarnsConstantScore():
            return "score of a constant"
        case IsTraced():
            return "graph"
        case IsNotTraceable():
            return "not traceable"


def outcome_words(outcome: AttemptOutcome) -> str:
    """What it came to: `timeout(predict)`, `61.33 %`."""
    failure = outcome.failure
    if failure is not None:
        return _reason_words(failure.reason, failure.phase or failure.resource)
    if outcome.trace is not None:
        return "graph" if outcome.trace.claimed_graph is not None else "not traceable"
    return "no result" if outcome.measurement is None else f"{100 * outcome.measurement.accuracy:.2f} %"


def _of_failure(outcome: AttemptOutcome, expected: Fails) -> list[str]:
    failure = outcome.failure
    if failure is None or outcome.measurement is not None or outcome.trace is not None:
        return [f"it did not fail ({outcome_words(outcome)})"]
    found = []
    if (failure.reason, failure.phase, failure.resource) != (
        expected.reason,
        expected.phase,
        expected.resource,
    ):
        found.append(f"it failed as {outcome_words(outcome)}: {_excerpt(failure)}")
    elif expected.says not in failure.message:
        found.append(f"the message does not hold {expected.says!r}: {_excerpt(failure)}")
    if len(failure.message) > MAX_MESSAGE or UNSAFE.search(failure.message):
        found.append("the message is too long or not escaped")
    return found


def _of_trace(outcome: AttemptOutcome, expected: IsTraced | IsNotTraceable) -> list[str]:
    trace = outcome.trace
    if trace is None:
        return [
            f"it failed as {outcome_words(outcome)}: {_excerpt(outcome.failure) if outcome.failure else ''}"
        ]
    if isinstance(expected, IsTraced):
        return [] if trace.claimed_graph is not None else [f"there is no graph: {trace.not_traceable}"]
    reason = trace.not_traceable or ""
    found = [] if expected.says in reason else [f"the reason does not hold {expected.says!r}: {reason[:300]}"]
    if len(reason) > MAX_MESSAGE or UNSAFE.search(reason):
        found.append("the reason is too long or not escaped")
    return found


def _of_score(outcome: AttemptOutcome, accuracy: float, images: int) -> list[str]:
    if outcome.measurement is None:
        failure = outcome.failure
        return [f"it failed as {outcome_words(outcome)}: {_excerpt(failure) if failure else ''}"]
    found = []
    measured = outcome.measurement
    if measured.accuracy != accuracy:
        found.append(f"it scored {100 * measured.accuracy:.2f} %, not {100 * accuracy:.2f} %")
    if measured.evaluated_images != images:
        found.append(f"it was scored on {measured.evaluated_images} images, not on {images}")
    return found


def _of_time(outcome: AttemptOutcome) -> list[str]:
    measured = outcome.measurement
    if measured is None or measured.wall_seconds >= SHORTEST_SECONDS:
        return []
    return [f"its time was measured as {measured.wall_seconds:.3f} s"]


def _excerpt(failure: Failure) -> str:
    return UNSAFE.sub("?", failure.message[:300])


def _reason_words(reason: str, detail: str | None) -> str:
    return f"{reason}({detail})" if detail else str(reason)
