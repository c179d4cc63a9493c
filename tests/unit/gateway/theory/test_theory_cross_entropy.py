"""The cross-entropy update: the gap is a divergence, and what the loss falls by is what it falls by."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.theory.cross_entropy import (
    LossChange,
    divergence,
    divergence_drop,
    read_divergence_drop,
    read_loss_changes,
)
from gateway.theory.reading import Fit


def model_of(weights):
    total = sum(weights.values())
    return {word: math.log(weight / total) for word, weight in weights.items()}


ELITES = st.lists(st.sampled_from("abcde"), min_size=1, max_size=30)
MODELS = st.fixed_dictionaries({word: st.floats(0.01, 1) for word in "abcde"}).map(model_of)


@settings(max_examples=40, deadline=None)
@given(ELITES, MODELS)
def test_the_gap_is_never_negative_and_the_rest_of_the_cross_entropy(elites, model):
    found = divergence(elites, [model[elite] for elite in elites])
    assert found.gap >= -1e-9
    assert found.cross_entropy == pytest.approx(found.elite_entropy + found.gap)


@settings(max_examples=40, deadline=None)
@given(ELITES, MODELS, MODELS)
def test_the_loss_falls_by_what_the_divergence_falls_by(elites, model, other):
    before, after = ([one[elite] for elite in elites] for one in (model, other))
    gaps = divergence(elites, before).gap - divergence(elites, after).gap
    assert divergence_drop(before, after).value == pytest.approx(gaps, abs=1e-9)


def test_a_proposer_that_says_what_the_elites_are_has_no_gap():
    found = divergence(["a", "a", "b", "c"], [math.log(p) for p in (0.5, 0.5, 0.25, 0.25)])
    assert found.gap == pytest.approx(0, abs=1e-12)
    assert found.elite_entropy == pytest.approx(1.5 * math.log(2))


def test_a_planted_drop_is_recovered_and_a_rise_is_a_misfit():
    draws = random.Random(1)
    before = [draws.gauss(-80, 20) for _ in range(30)]
    after = [value + draws.gauss(4, 2) for value in before]
    fell, rose = read_divergence_drop(before, after), read_divergence_drop(after, before)
    assert fell.fit is Fit.HOLDS
    assert fell.observed.interval[0] <= 4 <= fell.observed.interval[1]
    assert rose.fit is Fit.FAILS
    assert "rose" in rose.verdict


def test_noise_without_a_drop_is_rarely_called_one():
    called = 0
    for seed in range(200):
        draws = random.Random(seed)
        before = [draws.gauss(-80, 20) for _ in range(12)]
        reading = read_divergence_drop(before, [value + draws.gauss(0, 2) for value in before])
        called += reading.fit is not Fit.UNDECIDED
    assert called / 200 <= 0.1


def test_losses_of_fine_tunes_name_the_cycles_where_they_rose():
    changes = [LossChange(1, 1.0, 0.8), LossChange(2, 0.8, 0.7), LossChange(3, 0.7, 0.75)]
    reading = read_loss_changes(changes)
    assert reading.observed.value == pytest.approx(0.25 / 3)
    assert "after cycle 3" in reading.verdict
    assert reading.fit is Fit.UNDECIDED


def test_one_fine_tune_has_no_interval_and_none_has_no_word():
    assert read_loss_changes([LossChange(1, 1.0, 0.8)]).observed.interval is None
    assert read_loss_changes([]).fit is Fit.UNTOLD
    assert read_loss_changes([LossChange(1, math.nan, 0.8)]).fit is Fit.UNTOLD
    assert read_divergence_drop([], []).fit is Fit.UNTOLD


def test_a_log_probability_above_zero_is_refused():
    with pytest.raises(ValueError, match="at most 0"):
        divergence(["a"], [0.1])
    with pytest.raises(ValueError, match="2 elites, 1 log"):
        divergence(["a", "b"], [-0.1])
