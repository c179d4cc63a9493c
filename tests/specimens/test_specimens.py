"""Every hostile candidate against the real sandbox: it fails for the right reason or earns its true score."""

import re

import pytest

from contracts.jobs import AttemptOutcome
from contracts.names import IsolationTier
from sandbox_runner.specimens.arena import EVALUATION_IMAGES, Arena
from sandbox_runner.specimens.catalogue import SPECIMENS
from sandbox_runner.specimens.specimen import SOURCES, EarnsConstantScore, EarnsTrueScore, Fails, Specimen

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_every_source_has_an_expectation() -> None:
    assert sorted(path.stem for path in SOURCES.glob("*.py")) == sorted(
        ["honest", *(specimen.name for specimen in SPECIMENS)]
    )


def test_the_control_learns_more_than_chance(arena: Arena) -> None:
    assert 0.4 < arena.control < 1.0


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_specimen(arena: Arena, specimen: Specimen) -> None:
    outcome = arena.outcome_of(specimen)

    match specimen.expected:
        case Fails() as fails:
            _check_failure(outcome, fails)
        case EarnsTrueScore():
            _check_score(outcome, arena.control)
        case EarnsConstantScore():
            _check_score(outcome, arena.constant_accuracy)
    assert "BREACH" not in outcome.log, outcome.log
    assert specimen.log_holds in outcome.log
    assert not re.search(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]", outcome.log)
    assert outcome.isolation is not None
    assert outcome.isolation.tier is IsolationTier.NAMESPACES


def test_limits_are_enforced_punctually(arena: Arena) -> None:
    endless = next(specimen for specimen in SPECIMENS if specimen.name == "oversubscribes_the_processor")
    measured = arena.outcome_of(endless).measurement

    assert measured is not None
    # Five busy loops on one core's quota: the kernel lets a period's worth through beside it, no more.
    assert measured.cpu_seconds <= measured.wall_seconds * 1.25 + 0.5


def test_the_worker_is_as_it_was(arena: Arena) -> None:
    arena.check_control("at the end")
    arena.check_surroundings()


def _check_failure(outcome: AttemptOutcome, expected: Fails) -> None:
    assert outcome.measurement is None
    failure = outcome.failure
    assert failure is not None
    assert failure.reason == expected.reason, failure
    assert (failure.phase, failure.resource) == (expected.phase, expected.resource), failure
    assert expected.says in failure.message
    assert len(failure.message) <= 2000
    assert "\x1b" not in failure.message


def _check_score(outcome: AttemptOutcome, accuracy: float) -> None:
    assert outcome.failure is None, outcome.failure
    assert outcome.measurement is not None
    assert outcome.measurement.accuracy == accuracy
    assert outcome.measurement.evaluated_images == EVALUATION_IMAGES
    assert outcome.measurement.wall_seconds > 0.5
