"""Proxy reliability: planted variances are recovered, by random replicates and by the likelihood over all."""

import math
import random
from statistics import fmean

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.theory.proxy_reliability import (
    ceiling_gap,
    measured_spearman,
    read_ceiling_gap,
    read_reliability,
    reliability,
    spearman_of_pearson,
    spearman_within_top,
    top_pairs,
)
from gateway.theory.reading import Estimate, Fit
from gateway.theory.variance_components import Replication, variance_components


def planted(icc, seed, architectures=50, runs=(2, 3)):
    """Scores of variance 1 in all; each architecture has the next number of runs."""
    draws = random.Random(seed)
    found = []
    for place in range(architectures):
        effect = draws.gauss(0, math.sqrt(icc))
        found.append([effect + draws.gauss(0, math.sqrt(1 - icc)) for _ in range(runs[place % len(runs)])])
    return found


def contenders_trained_again(icc, seed, architectures=50, contenders=12, extra=2):
    """One score each, and two more of those whose first was among the best."""
    draws = random.Random(seed)
    effects = [draws.gauss(0, math.sqrt(icc)) for _ in range(architectures)]
    noise = math.sqrt(1 - icc)
    firsts = sorted(((effect + draws.gauss(0, noise), effect) for effect in effects), reverse=True)
    return [
        [first] + [effect + draws.gauss(0, noise) for _ in range(extra if place < contenders else 0)]
        for place, (first, effect) in enumerate(firsts)
    ]


def test_the_closed_form_is_that_of_normal_variables():
    assert spearman_of_pearson(1) == pytest.approx(1)
    assert spearman_of_pearson(0) == 0
    assert spearman_of_pearson(0.9) == pytest.approx(0.891, abs=0.001)
    assert spearman_within_top(0.9, 1.0) == pytest.approx(0.891, abs=0.01)


def test_it_holds_over_all_and_not_within_elites():
    assert spearman_within_top(0.9, 0.2) == pytest.approx(0.64, abs=0.02)


def test_balanced_components_are_those_of_the_analysis_of_variance():
    scores = planted(0.5, 1, architectures=12, runs=(3,))
    found = variance_components(scores, Replication.RANDOM)
    table = scipy.stats.f_oneway(*scores)
    within = fmean(scipy.stats.tvar(values) for values in scores)
    assert found.noise == pytest.approx(within, rel=1e-4)
    assert found.architecture == pytest.approx((table.statistic - 1) * within / 3, rel=1e-4)


def test_walds_interval_is_the_textbooks_in_a_balanced_design():
    scores = planted(0.5, 2, architectures=20, runs=(3,))
    statistic = scipy.stats.f_oneway(*scores).statistic
    low, high = variance_components(scores, Replication.RANDOM).icc.interval
    for end, quantile in ((low, 0.975), (high, 0.025)):
        ratio = statistic / scipy.stats.f.ppf(quantile, 19, 40)
        assert end == pytest.approx((ratio - 1) / (ratio + 2), abs=1e-6)


@pytest.mark.parametrize("icc", [0.1, 0.5, 0.9])
def test_a_planted_icc_is_recovered(icc):
    found = [variance_components(planted(icc, seed), Replication.RANDOM).icc.value for seed in range(60)]
    assert fmean(found) == pytest.approx(icc, abs=0.05)


@pytest.mark.parametrize("icc", [0.5, 0.9])
def test_the_likelihood_over_all_is_not_biased_by_picking_contenders_who_alone_are(icc):
    over_all, alone = [], []
    for seed in range(60):
        scores = contenders_trained_again(icc, seed)
        over_all.append(variance_components(scores, Replication.CONTENDERS).icc.value)
        alone.append(variance_components(scores[:12], Replication.RANDOM).icc.value)
    assert fmean(over_all) == pytest.approx(icc, abs=0.05)
    assert fmean(alone) < icc - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "runs",
    [
        pytest.param((2,), id="two", marks=pytest.mark.full),
        pytest.param((3,), id="three", marks=pytest.mark.full),
        pytest.param((2, 3), id="mixed"),
    ],
)
def test_intervals_of_random_replicates_cover_what_was_planted(icc, runs):
    covered = 0
    for seed in range(800):
        found = reliability(planted(icc, seed, runs=runs), Replication.RANDOM).spearman_to_truth.interval
        covered += found[0] <= spearman_of_pearson(math.sqrt(icc)) <= found[1]
    assert 0.93 <= covered / 800 <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.5, pytest.param(0.9, marks=pytest.mark.full)])
def test_intervals_of_contenders_among_all_cover_what_was_planted(icc):
    covered = 0
    for seed in range(800):
        low, high = variance_components(
            contenders_trained_again(icc, seed), Replication.CONTENDERS
        ).icc.interval
        covered += low <= icc <= high
    assert 0.93 <= covered / 800 <= 0.97


def test_both_meanings_of_the_correlation_are_given():
    found = reliability(planted(0.8, 3), Replication.RANDOM)
    icc = found.components.icc.value
    assert found.pearson_between_runs.value == icc
    assert found.pearson_to_truth.value == pytest.approx(math.sqrt(icc))
    assert found.spearman_to_truth.value > found.spearman_between_runs.value


def test_noise_alone_and_architectures_alone_are_told_apart():
    noisy, clear = (
        read_reliability(planted(0.0, 1), Replication.RANDOM),
        read_reliability(planted(0.95, 1), Replication.RANDOM),
    )
    assert noisy.fit is Fit.FAILS
    assert "do not trust" in noisy.verdict
    assert clear.fit is Fit.HOLDS
    assert clear.figures["replication"] == "random"


def test_one_run_each_tells_nothing_of_noise():
    singles = [[0.1 * place] for place in range(30)]
    assert variance_components(singles, Replication.CONTENDERS) is None
    assert read_reliability(singles, None).fit is Fit.UNTOLD
    assert variance_components([[0.5, 0.5], [0.6, 0.6], [0.7, 0.7]], Replication.RANDOM) is None
    assert variance_components([[0.5, 0.4], [0.6, 0.7]], Replication.RANDOM) is None


SCORES = st.lists(st.lists(st.floats(0, 1), max_size=4), min_size=3, max_size=15)


@settings(max_examples=40, deadline=None)
@given(SCORES, st.sampled_from(Replication), st.floats(0.1, 10), st.floats(-1, 1))
def test_components_are_bounded_and_know_no_unit(scores, replication, scale, shift):
    found = variance_components(scores, replication)
    if found is None or found.noise < 1e-6:
        return
    assert 0 <= found.icc.value <= 1
    assert 0 <= found.icc.interval[0] <= found.icc.interval[1] <= 1
    moved = [[scale * value + shift for value in values] for values in scores]
    again = variance_components(moved, replication)
    assert again.noise == pytest.approx(found.noise * scale**2, rel=1e-2)
    assert again.icc.interval[0] == pytest.approx(found.icc.interval[0], abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=5, max_size=30))
def test_the_measured_correlation_is_scipys_ties_included(pairs):
    found = measured_spearman([(float(a), float(b)) for a, b in pairs])
    one, other = zip(*pairs, strict=True)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
        return
    assert found.value == pytest.approx(scipy.stats.spearmanr(one, other).statistic, abs=1e-9)
    assert -1 <= found.interval[0] <= found.value <= found.interval[1] <= 1


def test_the_interval_of_a_measured_correlation_covers_a_planted_one():
    covered = 0
    for seed in range(300):
        draws = random.Random(seed)
        pairs = [
            (x := draws.gauss(0, 1), 0.75 * x + math.sqrt(1 - 0.75**2) * draws.gauss(0, 1)) for _ in range(40)
        ]
        low, high = measured_spearman(pairs).interval
        covered += low <= spearman_of_pearson(0.75) <= high
    assert 0.92 <= covered / 300 <= 0.985


def audit_sample(correlation, seed, count=120, interaction=0.0):
    draws = random.Random(seed)
    pairs = []
    for _ in range(count):
        truth = draws.gauss(0, 1)
        proxy = correlation * truth + math.sqrt(1 - correlation**2) * draws.gauss(0, 1)
        pairs.append((proxy, truth + interaction * draws.gauss(0, 1)))
    return pairs


def test_an_interaction_with_the_budget_is_a_gap_to_the_ceiling_and_noise_alone_is_none():
    runs = reliability(planted(0.81, 4, architectures=200), Replication.RANDOM)
    honest, _ = read_ceiling_gap(runs, audit_sample(0.9, 1), 0.2)
    other, _ = read_ceiling_gap(runs, audit_sample(0.9, 1, interaction=1.0), 0.2)
    assert honest.fit is Fit.UNDECIDED
    assert other.fit is Fit.FAILS
    assert "Noise does not explain it all" in other.verdict


def test_the_ceiling_within_elites_is_lower_than_over_all():
    runs = reliability(planted(0.81, 4, architectures=200), Replication.RANDOM)
    over_all, elites = read_ceiling_gap(runs, audit_sample(0.9, 2), 0.2)
    assert elites.predicted.value < over_all.predicted.value - 0.1
    assert elites.fit is Fit.UNDECIDED


def test_without_a_ceiling_or_a_sample_there_is_no_gap():
    assert {reading.fit for reading in read_ceiling_gap(None, audit_sample(0.9, 1), 0.2)} == {Fit.UNTOLD}
    assert ceiling_gap(Estimate(0.9, (0.8, 0.95)), [(1.0, 2.0)] * 9) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1), st.floats(0.05, 1))
def test_elites_of_a_sample_are_its_best_by_proxy(pairs, share):
    kept = top_pairs(pairs, share)
    assert min(proxy for proxy, _ in kept) >= max((p for p, _ in pairs if p < kept[-1][0]), default=0)
    assert len(kept) == max(1, round(share * len(pairs)))
