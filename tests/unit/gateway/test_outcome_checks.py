from dataclasses import replace

import pytest
from fakes import outcome

from contracts.failures import Failure, FailureReason
from contracts.jobs import AttemptSpec
from contracts.measurements import Limits
from contracts.names import AttemptKind, Integrity, IsolationTier, ScoredOn
from gateway.domain.outcome_checks import MAX_FLAGS, MAX_LOG_CHARACTERS, checked_outcome


def spec(scored_on=ScoredOn.ALL):
    return AttemptSpec(
        "at_1", "ev_1", 1, AttemptKind.EVALUATE, "x = 1", "digits", 1, 0, None, {}, Limits(), 1, "cpu",
        Integrity.STANDARD, IsolationTier.NAMESPACES, scored_on, "00", "11",
    )  # fmt: skip


def check(found, scored_on=ScoredOn.ALL, minimum_tier=IsolationTier.NAMESPACES):
    return checked_outcome(found, scored_on=scored_on, minimum_tier=minimum_tier)


def test_a_believable_outcome_passes_unchanged():
    assert check(outcome(spec())) == outcome(spec())


@pytest.mark.parametrize(
    "found",
    [
        replace(outcome(spec()), failure=Failure(FailureReason.TRAIN_ERROR, "both")),
        replace(outcome(spec()), measurement=None),
        replace(outcome(spec()), isolation=None),
        replace(outcome(spec()), provenance=None),
        outcome(spec(), 1.01),
        outcome(spec(), float("nan")),
        outcome(spec(ScoredOn.SELECTION_HALF)),
    ],
    ids=["both", "neither", "no isolation", "no provenance", "too good", "NaN", "other half"],
)
def test_what_cannot_be_true_is_the_platforms_failure(found):
    checked = check(found)
    assert checked.measurement is None
    assert checked.failure.reason is FailureReason.INFRASTRUCTURE


def test_a_run_on_a_weaker_tier_than_asked_does_not_count():
    checked = check(outcome(spec()), minimum_tier=IsolationTier.DOCKER_RUNSC)
    assert checked.failure.reason is FailureReason.INFRASTRUCTURE


def test_within_a_search_the_sealed_half_must_be_scored():
    good = outcome(spec(ScoredOn.SELECTION_HALF))
    assert check(good, ScoredOn.SELECTION_HALF).measurement is not None
    without = replace(good, measurement=replace(good.measurement, audit_accuracy=None))
    assert check(without, ScoredOn.SELECTION_HALF).measurement is None


def test_every_quoted_text_is_bounded():
    loud = replace(
        outcome(spec(), failure=Failure(FailureReason.TRAIN_ERROR, "m" * 10**6, location="l" * 10**6)),
        log="x" * 10**7,
        flags=("f" * 1000,) * 1000,
    )
    checked = check(loud)
    assert len(checked.log) == MAX_LOG_CHARACTERS
    assert len(checked.failure.message) <= 4000
    assert len(checked.failure.location) <= 300
    assert len(checked.flags) == MAX_FLAGS
    assert all(len(flag) <= 300 for flag in checked.flags)


def test_nul_never_reaches_the_database():
    assert "\x00" not in check(replace(outcome(spec()), log="a\x00b")).log
