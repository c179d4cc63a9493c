"""Monotone quality: planted falls are found, planted rises are not called falls."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.theory.monotone_quality import quality_over_cycles, read_quality
from gateway.theory.reading import Fit

SCORES = st.dictionaries(
    st.integers(0, 20), st.lists(st.floats(0, 1), min_size=2, max_size=6), min_size=2, max_size=6
)


def drawn(means, seed, count=20, noise=0.05):
    draws = random.Random(seed)
    return {
        cycle: [draws.gauss(mean, noise) for _ in range(count)] for cycle, mean in enumerate(means, start=1)
    }


def largest_planted_fall(means):
    return max(one - other for place, one in enumerate(means) for other in means[place + 1 :])


@pytest.mark.parametrize(
    "means",
    [[0.4, 0.45, 0.5, 0.55], [0.5, 0.5, 0.5, 0.5], [0.5, 0.56, 0.48, 0.6]],
    ids=["rise", "flat", "fall"],
)
def test_the_simultaneous_interval_covers_the_largest_fall(means):
    truth = largest_planted_fall(means)
    intervals = [quality_over_cycles(drawn(means, seed)).largest_fall.interval for seed in range(300)]
    assert sum(low <= truth <= high for low, high in intervals) / 300 >= 0.94


def test_a_planted_fall_is_found_with_its_cycles():
    reading = read_quality(drawn([0.5, 0.6, 0.4, 0.65], seed=1))
    assert reading.fit is Fit.FAILS
    assert (reading.figures["earlier"], reading.figures["later"]) == (2, 3)
    assert reading.observed.value == pytest.approx(0.2, abs=0.04)
    assert "does not fit" in reading.verdict


def test_flat_quality_is_rarely_called_a_fall():
    called = [read_quality(drawn([0.5] * 8, seed, count=8)).fit is Fit.FAILS for seed in range(200)]
    assert sum(called) / 200 <= 0.05


def test_not_seeing_a_fall_does_not_confirm_monotonicity():
    reading = read_quality(drawn([0.5, 0.51, 0.5], seed=3))
    assert reading.fit is Fit.UNDECIDED
    assert "not excluded" in reading.verdict
    assert reading.observed.interval[1] > 0


def test_a_steep_rise_everywhere_is_told():
    assert read_quality(drawn([0.1, 0.5, 0.9], seed=4)).fit is Fit.HOLDS


def test_without_two_scores_in_two_cycles_nothing_can_be_told():
    assert read_quality({1: [0.4, 0.5], 2: [0.9]}).fit is Fit.UNTOLD
    assert read_quality({}).observed is None


@settings(max_examples=40, deadline=None)
@given(SCORES)
def test_the_largest_fall_is_that_of_two_means_in_their_order(scores):
    fall = quality_over_cycles(scores).largest_fall
    means = {cycle: sum(values) / len(values) for cycle, values in scores.items()}
    cycles = sorted(means)
    everywhere = [means[a] - means[b] for a in cycles for b in cycles if a < b]
    assert fall.earlier < fall.later
    assert fall.value == pytest.approx(max(everywhere), abs=1e-12)
    assert fall.interval[0] <= fall.value <= fall.interval[1]


@settings(max_examples=40, deadline=None)
@given(SCORES, st.floats(-1, 1))
def test_a_shift_of_all_scores_changes_no_fall(scores, shift):
    moved = {cycle: [value + shift for value in values] for cycle, values in scores.items()}
    one, other = quality_over_cycles(scores).largest_fall, quality_over_cycles(moved).largest_fall
    assert other.value == pytest.approx(one.value, abs=1e-9)


def test_the_interval_leaves_room_for_a_fall_where_few_scores_are():
    many, few = [0.5 + 0.001 * (place % 5) for place in range(40)], [0.2, 0.83]
    fall = quality_over_cycles({1: many, 2: [value - 0.05 for value in many], 3: few}).largest_fall
    assert (fall.earlier, fall.later) == (1, 2)
    assert fall.interval[1] > 0.3  # from 1 to 3 nobody can say
    assert fall.interval[0] > 0  # from 1 to 2 they can


def test_no_interval_is_wider_than_accuracies_can_differ():
    reading = read_quality({cycle: [0.5, 0.9] for cycle in range(6)})
    assert reading.observed.interval[1] == 1.0
    assert "no fall at all is excluded" in reading.verdict
