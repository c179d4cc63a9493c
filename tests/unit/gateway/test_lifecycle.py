import pytest
from fakes import measurement

from contracts.failures import Failure, FailureReason
from contracts.names import AttemptState, EvaluationState
from gateway.domain.aggregation import mean_over_seeds
from gateway.domain.lifecycle import MAX_TRIES, AttemptFacts, standing

QUEUED, LEASED = AttemptState.QUEUED, AttemptState.LEASED
REPORTED, LOST = AttemptState.REPORTED, AttemptState.LOST


def success(seed=0, accuracy=0.5):
    return AttemptFacts(seed, REPORTED, measurement=measurement(accuracy))


def failure(seed=0, reason=FailureReason.TRAIN_ERROR):
    return AttemptFacts(seed, REPORTED, failure=Failure(reason, "it broke"))


@pytest.mark.parametrize(
    ("attempts", "state"),
    [
        ([AttemptFacts(0, QUEUED)], EvaluationState.QUEUED),
        ([AttemptFacts(0, LEASED)], EvaluationState.RUNNING),
        ([success()], EvaluationState.SUCCEEDED),
        ([failure()], EvaluationState.FAILED),
        ([AttemptFacts(0, LOST)], EvaluationState.QUEUED),
        ([AttemptFacts(0, LOST), AttemptFacts(0, LEASED)], EvaluationState.RUNNING),
        ([AttemptFacts(0, LOST), success()], EvaluationState.SUCCEEDED),
        ([AttemptFacts(0, LOST)] * MAX_TRIES, EvaluationState.FAILED),
    ],
)
def test_an_evaluation_of_one_seed_stands_where_its_attempts_say(attempts, state):
    assert standing([0], attempts).state is state


def test_seeds_wait_for_each_other():
    assert standing([0, 1], [success(0), AttemptFacts(1, QUEUED)]).state is EvaluationState.RUNNING
    assert standing([0, 1], [success(0), success(1)]).state is EvaluationState.SUCCEEDED


def test_a_lost_seed_is_tried_again_after_a_growing_rest():
    first = standing([0, 1], [AttemptFacts(0, LOST), success(1)]).retries
    second = standing(
        [0, 1], [AttemptFacts(0, LOST), success(1), failure(0, FailureReason.INFRASTRUCTURE)]
    ).retries
    assert [seed for seed, _ in first + second] == [0, 0]
    assert 0 < first[0][1] < second[0][1]


def test_losses_are_counted_seed_by_seed():
    lost_everywhere = [AttemptFacts(seed, LOST) for seed in range(MAX_TRIES)]
    found = standing(range(MAX_TRIES), lost_everywhere)
    assert found.state is EvaluationState.QUEUED
    assert len(found.retries) == MAX_TRIES


def test_a_candidates_own_failure_outweighs_everything():
    found = standing([0, 1], [AttemptFacts(0, LOST)] * MAX_TRIES + [failure(1)])
    assert found.failure.reason is FailureReason.TRAIN_ERROR


def test_the_last_loss_is_quoted():
    found = standing(
        [0], [AttemptFacts(0, LOST), AttemptFacts(0, LOST), failure(0, FailureReason.INFRASTRUCTURE)]
    )
    assert found.failure.reason is FailureReason.INFRASTRUCTURE
    assert "it broke" in found.failure.message


def test_one_seed_keeps_its_own_standard_error():
    assert mean_over_seeds([measurement(0.4)]) == measurement(0.4)


def test_several_seeds_give_the_mean_its_spread_and_the_largest_peak():
    mean = mean_over_seeds(
        [
            measurement(0.3, 0.2, peak_memory_bytes=10, cpu_seconds=1.0, claimed_train_loss=None),
            measurement(0.4, 0.3, peak_memory_bytes=30, cpu_seconds=2.0, claimed_train_loss=1.0),
            measurement(0.5, 0.4, peak_memory_bytes=20, cpu_seconds=6.0, claimed_train_loss=3.0),
        ]
    )
    assert mean.accuracy == pytest.approx(0.4)
    assert mean.accuracy_standard_error == pytest.approx(0.1 / 3**0.5)
    assert mean.audit_accuracy == pytest.approx(0.3)
    assert (mean.peak_memory_bytes, mean.cpu_seconds, mean.claimed_train_loss) == (30, 3.0, 2.0)


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no measurement"):
        mean_over_seeds([])
