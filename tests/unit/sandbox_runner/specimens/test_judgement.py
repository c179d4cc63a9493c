"""An outcome that is not as it must be is told, whatever is wrong with it."""

from dataclasses import replace

import pytest

from contracts.failures import Failure, FailureReason, MemoryResource, TimeoutPhase
from contracts.jobs import AttemptOutcome
from contracts.measurements import Isolation, Limits, Measurement
from contracts.names import IsolationTier, ScoredOn
from sandbox_runner.specimens.judgement import (
    Scores,
    expectation_words,
    outcome_words,
    shortcomings,
)
from sandbox_runner.specimens.specimen import EarnsConstantScore, EarnsTrueScore, Fails, Specimen

TIER = IsolationTier.NAMESPACES
SCORES = Scores(honest=0.6, constant=0.25, images=300)
MEASURED = Measurement(
    accuracy=0.6, accuracy_standard_error=0.01, scored_on=ScoredOn.ALL, evaluated_images=300,
    startup_seconds=1.0, wall_seconds=1.0, cpu_seconds=1.0, peak_memory_bytes=1,
)  # fmt: skip
SCORED = AttemptOutcome(
    attempt_id="at", fence=1, measurement=MEASURED, failure=None,
    isolation=Isolation(TIER, "namespaces", Limits()), provenance=None, log="TRIED\n",
)  # fmt: skip
TIMED_OUT = Failure(FailureReason.TIMEOUT, "too slow", phase=TimeoutPhase.PREDICT)
FAILED = replace(SCORED, measurement=None, failure=TIMED_OUT)


def judged(outcome, expected, log_holds="TRIED"):
    return shortcomings(Specimen("x", "X.", expected, log_holds=log_holds), outcome, TIER, SCORES)


def test_what_is_as_expected_has_no_shortcomings():
    assert judged(SCORED, EarnsTrueScore()) == ()
    constant = replace(SCORED, measurement=replace(MEASURED, accuracy=0.25))
    assert judged(constant, EarnsConstantScore()) == ()
    assert judged(FAILED, Fails(FailureReason.TIMEOUT, TimeoutPhase.PREDICT, says="slow")) == ()


@pytest.mark.parametrize(
    ("outcome", "expected", "told"),
    [
        (SCORED, Fails(FailureReason.TIMEOUT), "it did not fail (60.00 %)"),
        (FAILED, EarnsTrueScore(), "failed as timeout(predict): too slow"),
        (FAILED, Fails(FailureReason.TIMEOUT, TimeoutPhase.TRAIN), "failed as timeout(predict)"),
        (FAILED, Fails(FailureReason.SIGNALLED), "failed as timeout(predict)"),
        (FAILED, Fails(FailureReason.TIMEOUT, TimeoutPhase.PREDICT, says="fast"), "does not hold 'fast'"),
        (SCORED, EarnsConstantScore(), "scored 60.00 %, not 25.00 %"),
        (replace(SCORED, log="TRIED\nBREACH /etc/shadow"), EarnsTrueScore(), "BREACH /etc/shadow"),
        (replace(SCORED, log=""), EarnsTrueScore(), "was not tried"),
        (replace(SCORED, log="TRIED \x1b[31m"), EarnsTrueScore(), "not escaped"),
        (replace(SCORED, isolation=None), EarnsTrueScore(), "does not say that it ran under namespaces"),
        (
            replace(SCORED, measurement=replace(MEASURED, evaluated_images=299)),
            EarnsTrueScore(),
            "on 299 images",
        ),
        (replace(SCORED, measurement=replace(MEASURED, wall_seconds=0.0)), EarnsTrueScore(), "0.000 s"),
        (
            replace(FAILED, failure=replace(TIMED_OUT, message="\x1b")),
            Fails(FailureReason.TIMEOUT, TimeoutPhase.PREDICT),
            "not escaped",
        ),
        (
            replace(FAILED, failure=replace(TIMED_OUT, message="x" * 2001)),
            Fails(FailureReason.TIMEOUT, TimeoutPhase.PREDICT),
            "too long",
        ),
    ],
)
def test_what_is_not_as_expected_is_told(outcome, expected, told):
    found = judged(outcome, expected)
    assert len(found) == 1
    assert told in found[0]


def test_what_a_tier_is_known_to_let_through_is_admitted_of_that_tier_alone():
    known = Specimen("x", "X.", EarnsTrueScore(), admitted={TIER: ("BREACH fd",)})
    let_through = replace(SCORED, log="BREACH fd\n")
    assert shortcomings(known, let_through, TIER, SCORES) == ()
    assert len(shortcomings(known, replace(SCORED, log="BREACH fd/1\n"), TIER, SCORES)) == 1
    assert len(shortcomings(known, replace(SCORED, log="BREACH mem\n"), TIER, SCORES)) == 1
    other = IsolationTier.DOCKER_RUNC
    elsewhere = replace(known, admitted={other: ("BREACH fd",)})
    assert len(shortcomings(elsewhere, let_through, TIER, SCORES)) == 1


def test_another_tier_than_the_one_attacked_is_told():
    other = replace(SCORED, isolation=Isolation(IsolationTier.DOCKER_RUNC, "docker+runc", Limits()))
    assert len(judged(other, EarnsTrueScore())) == 1


def test_results_and_expectations_are_put_in_the_same_words():
    assert expectation_words(Fails(FailureReason.TIMEOUT, TimeoutPhase.PREDICT)) == outcome_words(FAILED)
    out_of_memory = Fails(FailureReason.OUT_OF_MEMORY, resource=MemoryResource.HOST)
    assert expectation_words(out_of_memory) == "out_of_memory(host)"
    assert expectation_words(EarnsTrueScore()) == "true score"
    assert expectation_words(EarnsConstantScore()) == "score of a constant"
    assert outcome_words(SCORED) == "60.00 %"
