"""Valid rates: the model's own data fit it, others do not, and the papers' figures contradict themselves."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.theory.reading import Fit
from gateway.theory.validity import (
    PAPER_DELTA_RATE,
    PAPER_FULL_RATE,
    PAPER_PREDICTED_RATIO,
    Answer,
    error_rate,
    implied_length_ratio,
    largest_ratio,
    predicted_rate,
    predicted_share,
    read_published_rates,
    read_validity,
    split_by_length,
)


def markov(rate, lengths, draws):
    return [Answer(length, draws.random() < math.exp(-rate * length)) for length in lengths]


def lengths(low, high, count, draws):
    return [draws.uniform(low, high) for _ in range(count)]


def test_the_papers_ratio_asks_for_more_than_every_answer():
    assert largest_ratio(PAPER_FULL_RATE) == pytest.approx(1.98, abs=0.005)
    assert largest_ratio(PAPER_FULL_RATE) < PAPER_PREDICTED_RATIO
    assert PAPER_PREDICTED_RATIO * PAPER_FULL_RATE > 1
    reading = read_published_rates()
    assert reading.fit is Fit.FAILS
    assert reading.observed.value == pytest.approx(1.41, abs=0.005)
    assert "2.23 cannot be" in reading.verdict
    assert "1.98" in reading.verdict


def test_what_the_observed_ratio_implies_is_a_length_ratio_of_two():
    implied = implied_length_ratio(PAPER_DELTA_RATE, PAPER_FULL_RATE)
    assert implied == pytest.approx(2.02, abs=0.01)
    assert predicted_rate(PAPER_DELTA_RATE, implied) == pytest.approx(PAPER_FULL_RATE)
    assert implied < 200 / 50  # by lines a whole network is at least four times as long


def test_the_planted_error_rate_is_recovered_with_its_interval():
    truth, covered, found = 0.004, 0, []
    for seed in range(200):
        draws = random.Random(seed)
        estimate = error_rate(markov(truth, lengths(20, 300, 60, draws), draws))
        covered += estimate.interval[0] <= truth <= estimate.interval[1]
        found.append(estimate.value)
    assert 0.92 <= covered / 200 <= 0.99
    assert sum(found) / 200 == pytest.approx(truth, rel=0.05)


def test_data_that_the_model_made_are_rarely_called_a_misfit():
    misfits = 0
    for seed in range(200):
        draws = random.Random(seed)
        short = markov(0.004, lengths(20, 80, 80, draws), draws)
        long = markov(0.004, lengths(150, 500, 80, draws), draws)
        misfits += read_validity(short, long, "deltas", "whole sources").fit is Fit.FAILS
    assert misfits / 200 <= 0.05


def test_errors_that_do_not_add_up_are_called_a_misfit():
    draws = random.Random(1)
    short = [Answer(40, draws.random() < 0.7) for _ in range(100)]
    long = [Answer(400, draws.random() < 0.5) for _ in range(100)]  # 0.7^10 would be 0.03
    reading = read_validity(short, long, "deltas", "whole sources")
    assert reading.fit is Fit.FAILS
    assert reading.predicted.value < 0.1 < reading.observed.value
    assert "too few" in reading.verdict


def test_few_answers_or_none_valid_tell_nothing():
    few, dead = [Answer(10, True)] * 9, [Answer(10, False)] * 20
    assert read_validity(few, few * 9, "deltas", "sources").fit is Fit.UNTOLD
    assert read_validity(dead, few * 9, "deltas", "sources").fit is Fit.UNTOLD
    assert error_rate([]) is None


def test_answers_that_are_all_valid_bound_the_errors_from_above_alone():
    estimate = error_rate([Answer(100, True)] * 30)
    assert estimate.value == 0
    assert estimate.interval[0] == 0
    assert estimate.interval[1] == pytest.approx(1.92 / 3000, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 0.99), st.floats(0.1, 10), st.floats(0.1, 10))
def test_lengths_multiply_as_powers(rate, one, other):
    assert predicted_rate(predicted_rate(rate, one), other) == pytest.approx(
        predicted_rate(rate, one * other)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1, 2000), st.booleans()), min_size=1, max_size=40).filter(
        lambda rows: any(valid for _, valid in rows)
    )
)
def test_the_best_rate_is_within_its_interval_and_explains_the_valid_share(rows):
    answers = [Answer(length, valid) for length, valid in rows]
    estimate = error_rate(answers)
    low, high = estimate.interval
    assert 0 <= low <= estimate.value <= high < math.inf
    if len({length for length, _ in rows}) == 1:
        share = sum(valid for _, valid in rows) / len(rows)
        assert predicted_share(estimate.value, answers) == pytest.approx(share, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1, 1000), max_size=30))
def test_two_arms_by_length_are_all_answers_in_two(values):
    short, long = split_by_length([Answer(value, True) for value in values])
    assert sorted(answer.length for answer in short + long) == sorted(values)
    assert not short or not long or max(a.length for a in short) < min(a.length for a in long)
