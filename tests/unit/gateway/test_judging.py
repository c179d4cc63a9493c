import pytest
from fakes import measurement
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.failures import Failure, FailureReason, MemoryResource, TimeoutPhase
from contracts.names import EvaluationState, SlotState
from gateway.domain.judging import is_plausible, judge

OPEN = [state for state in EvaluationState if not state.is_terminal]
BLAMELESS = FailureReason.INFRASTRUCTURE


def test_a_measurement_is_judged_with_its_score():
    verdict = judge(EvaluationState.SUCCEEDED, measurement(0.8, audit_accuracy=0.7), None, 10)
    assert verdict.state is SlotState.JUDGED
    assert (verdict.score.accuracy, verdict.score.audit_accuracy) == (0.8, 0.7)
    assert verdict.failure is None


@pytest.mark.parametrize("reason", [reason for reason in FailureReason if reason is not BLAMELESS])
def test_every_failure_of_the_candidate_is_data(reason):
    verdict = judge(EvaluationState.FAILED, None, Failure(reason, "it broke"), 10)
    assert verdict.state is SlotState.FAILED
    assert (verdict.failure.reason, verdict.failure.message) == (reason.value, "it broke")


def test_what_ran_out_is_kept_as_the_finer_code():
    timeout = Failure(FailureReason.TIMEOUT, "slow", phase=TimeoutPhase.TRAIN)
    memory = Failure(FailureReason.OUT_OF_MEMORY, "big", resource=MemoryResource.HOST)
    assert judge(EvaluationState.FAILED, None, timeout, 10).failure.code == "train"
    assert judge(EvaluationState.FAILED, None, memory, 10).failure.code == "host"


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        (EvaluationState.FAILED, Failure(BLAMELESS, "worker lost")),
        (EvaluationState.CANCELLED, None),
        (EvaluationState.CANCELLED, Failure(FailureReason.TIMEOUT, "slow")),
        (EvaluationState.FAILED, None),
        (EvaluationState.SUCCEEDED, None),
    ],
)
def test_what_the_candidate_is_not_to_blame_for_is_lost(state, failure):
    verdict = judge(state, None, failure, 10)
    assert verdict.state is SlotState.LOST
    assert verdict.failure.reason == "infrastructure"


@pytest.mark.parametrize("state", OPEN)
def test_an_open_evaluation_cannot_be_judged(state):
    with pytest.raises(ValueError, match=state.value):
        judge(state, None, None, 10)


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf"), -0.1, 1.5])
def test_an_impossible_accuracy_is_the_platforms_fault(accuracy):
    assert judge(EvaluationState.SUCCEEDED, measurement(accuracy), None, 10).state is SlotState.LOST


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.none() | st.integers(-1, 1000))
def test_no_accuracy_ever_raises(accuracy, classes):
    verdict = judge(EvaluationState.SUCCEEDED, measurement(accuracy), None, classes)
    assert verdict.state is SlotState.JUDGED
    assert verdict.score.plausible == is_plausible(accuracy, classes)


def test_under_twelve_tenths_of_chance_is_valid_but_not_plausible():
    assert not is_plausible(0.119, 10)
    assert is_plausible(0.12, 10)
    assert not is_plausible(0.59, 2)
    assert is_plausible(0.0, None)


@pytest.mark.parametrize("claimed", [-1, 2**53, 10**30])
def test_a_parameter_count_that_no_network_has_is_not_believed(claimed):
    verdict = judge(EvaluationState.SUCCEEDED, measurement(0.5, claimed_parameters=claimed), None, 10)
    assert verdict.score.claimed_parameters is None
