"""Rank agreement and its intervals, held to scipy's."""

import random

import numpy as np
import pytest
from scipy import stats

from deltanas.fidelity.agreement import (
    agreement_of,
    average_ranks,
    bootstrap_interval,
    quantile,
    spearman,
    wilson_interval,
)


def correlated(count: int, seed: int, digits: int = 2) -> list[tuple[float, float]]:
    """Pairs of accuracies, rounded so that there are ties."""
    draws = random.Random(seed)
    truth = [draws.random() for _ in range(count)]
    return [
        (round(value + draws.gauss(0, 0.2), digits), round(value + draws.gauss(0, 0.2), digits))
        for value in truth
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("digits", [0, 1, 6])
def test_rho_is_scipys_with_ties_and_without(seed, digits):
    pairs = correlated(3 + 4 * seed, seed, digits)
    ours, theirs = zip(*pairs, strict=True)
    assert average_ranks(ours) == stats.rankdata(ours).tolist()
    if len(set(ours)) > 1 and len(set(theirs)) > 1:
        assert spearman(pairs) == pytest.approx(stats.spearmanr(ours, theirs).statistic, abs=1e-12)
    else:
        assert spearman(pairs) is None


def test_rho_is_one_whatever_the_scale_and_minus_one_backwards():
    assert spearman([(x, x**3) for x in (0.1, 0.5, 0.9, 0.99)]) == pytest.approx(1)
    assert spearman([(x, -x) for x in (0.1, 0.5, 0.9, 0.99)]) == pytest.approx(-1)


@pytest.mark.parametrize(
    "pairs", [[], [(0.5, 0.5)], [(0.1, 0.2), (0.3, 0.4)], [(0.5, x / 9) for x in range(9)]]
)
def test_there_is_no_rho_of_few_pairs_or_of_a_constant(pairs):
    assert spearman(pairs) is None
    assert bootstrap_interval(pairs, seed=0) is None


def test_the_interval_is_the_percentile_bootstraps():
    pairs = correlated(60, seed=1)
    low, high = bootstrap_interval(pairs, seed=0, resamples=1500)
    reference = stats.bootstrap(
        tuple(np.array(side) for side in zip(*pairs, strict=True)),
        lambda ours, theirs: spearman(list(zip(ours, theirs, strict=True))),
        paired=True,
        vectorized=False,
        n_resamples=1500,
        method="percentile",
        rng=2,
    ).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.03)
    assert low < spearman(pairs) < high


def test_the_interval_depends_on_its_seed_alone():
    pairs = correlated(20, seed=3)
    again = bootstrap_interval(pairs, seed=5, resamples=200)
    assert bootstrap_interval(pairs, seed=5, resamples=200) == again
    assert bootstrap_interval(pairs, seed=6, resamples=200) != again


def test_resamples_without_a_rho_are_left_out():
    pairs = [(0.9, 0.9), (0.9, 0.9), (0.9, 0.9), (0.1, 0.2)]
    assert bootstrap_interval(pairs, seed=0, resamples=100) == pytest.approx((1, 1))


def test_quantiles_are_numpys():
    values = sorted(random.Random(0).random() for _ in range(11))
    for share in (0, 0.025, 0.3, 0.5, 0.975, 1):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share))


@pytest.mark.parametrize(("ran", "of"), [(0, 5), (5, 5), (43, 60), (1, 3)])
def test_the_interval_of_a_share_is_wilsons(ran, of):
    reference = stats.binomtest(ran, of).proportion_ci(0.95, "wilson")
    assert wilson_interval(ran, of) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert wilson_interval(0, 0) is None


def test_differences_are_ours_less_theirs():
    found = agreement_of([(0.5, 0.6), (0.7, 0.7), (0.9, 0.4), (0.8, 0.81)], seed=0)
    assert found.networks == 4
    assert found.median_difference == pytest.approx(-0.005)
    assert found.median_absolute_difference == pytest.approx(0.055)
    assert found.largest_difference == pytest.approx(0.5)
    assert agreement_of([], seed=0) is None
