"""Our quantiles and intervals against those of scipy, and against what they promise."""

import random

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.theory.distributions import (
    beta_quantile,
    difference_interval,
    f_quantile,
    incomplete_beta,
    share_interval,
    t_quantile,
)

SIZES = st.floats(0.5, 200)
SHARES = st.floats(0.001, 0.999)


@settings(max_examples=40, deadline=None)
@given(SHARES, SIZES, SIZES)
def test_the_incomplete_beta_function_is_scipys(x, a, b):
    assert incomplete_beta(x, a, b) == pytest.approx(scipy.stats.beta.cdf(x, a, b), rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.001, 0.999), SIZES, SIZES)
def test_a_beta_quantile_has_its_probability_below_it(probability, a, b):
    found = beta_quantile(probability, a, b)
    assert scipy.stats.beta.cdf(found, a, b) == pytest.approx(probability, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("degrees", [(1, 1), (49, 50), (49, 100), (2.5, 700)])
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.5, 0.975, 0.9999])
def test_quantiles_of_f_and_t_are_scipys(degrees, probability):
    assert f_quantile(probability, *degrees) == pytest.approx(
        scipy.stats.f.ppf(probability, *degrees), rel=1e-6
    )
    if probability > 0.5:
        expected = scipy.stats.t.ppf(probability, degrees[1])
        assert t_quantile(probability, degrees[1]) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson(successes, failures):
    trials = successes + failures
    low, high = share_interval(successes, trials)
    if trials == 0:
        assert (low, high) == (0.0, 1.0)
        return
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert (low, high) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))


def test_a_share_of_more_than_all_is_refused():
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        share_interval(3, 2)


def test_the_interval_of_a_difference_covers_a_planted_one():
    draws = random.Random(5)
    covered = 0
    for _ in range(400):
        one, other = draws.gauss(1.0, 0.3), draws.gauss(0.4, 0.3)
        interval = difference_interval(one, (one - 0.588, one + 0.588), other, (other - 0.588, other + 0.588))
        covered += interval[0] <= 0.6 <= interval[1]
    assert 0.92 <= covered / 400 <= 0.98
