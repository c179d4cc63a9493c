import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from slots import slot

from gateway.domain.finals import FinalPair, choose_winner, compare
from gateway.domain.statistics import mean_interval, student_t_quantile

fractions = st.floats(0, 1)


def pairs(*gains: float) -> list[FinalPair]:
    return [FinalPair(seed, 0.5 + gain, 0.5) for seed, gain in enumerate(gains)]


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 10, 19, 30, 101])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.975, 0.995])
def test_student_quantiles_agree_with_scipy(degrees, probability):
    expected = stats.t.ppf(probability, degrees)
    assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("probability", "degrees"), [(0.4, 3), (1.0, 3), (0.9, 0)])
def test_student_quantiles_refuse_what_they_cannot_answer(probability, degrees):
    with pytest.raises(ValueError):
        student_t_quantile(probability, degrees)


@settings(max_examples=30, deadline=None)
@given(st.lists(fractions, min_size=2, max_size=20))
def test_intervals_agree_with_scipy(values):
    low, high = mean_interval(values, 0.95)
    mean, error = sum(values) / len(values), stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * error
    assert (low, high) == (pytest.approx(mean - half, abs=1e-9), pytest.approx(mean + half, abs=1e-9))


def test_a_mean_of_one_value_has_no_interval():
    assert mean_interval([0.1], 0.95) is None
    assert mean_interval([], 0.95) is None


def test_the_gain_is_paired_seed_by_seed():
    swinging = [FinalPair(1, 0.9, 0.8), FinalPair(2, 0.5, 0.4), FinalPair(3, 0.7, 0.6)]
    comparison = compare(swinging)
    assert comparison.mean_gain == pytest.approx(0.1)
    assert comparison.gain_interval == (pytest.approx(0.1), pytest.approx(0.1))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(fractions, fractions), min_size=2, max_size=20))
def test_exchanging_the_finalists_turns_the_gain_around(described):
    forwards = compare([FinalPair(seed, a, b) for seed, (a, b) in enumerate(described)])
    backwards = compare([FinalPair(seed, b, a) for seed, (a, b) in enumerate(described)])
    assert forwards.mean_gain == pytest.approx(-backwards.mean_gain, abs=1e-12)
    assert forwards.gain_interval[0] == pytest.approx(-backwards.gain_interval[1], abs=1e-9)


def test_a_loss_is_stated_like_a_gain():
    comparison = compare(pairs(-0.03, -0.031, -0.029))
    assert comparison.mean_gain < 0
    assert comparison.gain_interval[1] < 0
    assert "worse" in comparison.note


def test_an_interval_around_zero_claims_nothing():
    assert "contains zero" in compare(pairs(-0.01, 0.012, 0.001)).note


def test_one_seed_is_called_too_few():
    comparison = compare(pairs(0.2))
    assert comparison.mean_gain == pytest.approx(0.2)
    assert comparison.gain_interval is None
    assert "One seed gives no interval" in comparison.note


def test_seeds_without_both_scores_are_left_out_and_said():
    comparison = compare([*pairs(0.1, 0.2), FinalPair(9, None, 0.5), FinalPair(10, 0.9, None)])
    assert comparison.mean_gain == pytest.approx(0.15)
    assert "2 of 4 seeds lack a score" in comparison.note
    assert len(comparison.per_seed) == 4


def test_no_complete_seed_says_nothing_about_the_gain():
    comparison = compare([FinalPair(1, None, None)])
    assert comparison.mean_gain is None
    assert comparison.gain_interval is None


def test_coverage_of_the_interval_is_as_promised():
    """Of many searches with a true gain of 0.01, 95 % of the intervals hold it (binomial noise: ± 2 %)."""
    true_gain, held, trials = 0.01, 0, 1000
    for noise in stats.norm.rvs(scale=0.02, size=(trials, 3), random_state=1):
        low, high = compare(pairs(*(true_gain + float(value) for value in noise))).gain_interval
        held += low <= true_gain <= high
    assert held / trials == pytest.approx(0.95, abs=0.02)


def test_baselines_cannot_win():
    assert choose_winner([slot(0, 0, 0.9), slot(1, 0, 0.4), slot(2, 3, 0.6)]).cycle == 2
    assert choose_winner([slot(0, 0, 0.9), slot(1, 0, None)]) is None


def test_the_gain_of_an_incomplete_pair_is_unknown():
    assert FinalPair(1, None, 0.5).gain is None
    assert math.isclose(FinalPair(1, 0.75, 0.5).gain, 0.25)
