"""Elite probability: rho_0 is recovered, and the three curves are not taken for each other."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.theory.elite_probability import (
    CycleHits,
    count_hits,
    elite_curves,
    elite_threshold,
    read_elite_probability,
)
from gateway.theory.reading import Fit

COUNTS = st.lists(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=2, max_size=10
)


def hits_of(masses, seed, candidates=50):
    draws = random.Random(seed)
    return [
        CycleHits(cycle, candidates, sum(draws.random() < mass for _ in range(candidates)))
        for cycle, mass in enumerate(masses, start=1)
    ]


def by_name(readings):
    return {reading.instrument: reading for reading in readings}


def test_gamma_is_the_best_baseline_and_knows_nothing_of_proposals():
    assert elite_threshold([0.3, 0.7, 0.5]) == 0.7
    assert elite_threshold([]) is None


def test_what_did_not_run_is_no_elite_but_counts():
    assert count_hits(1, [0.7, None, 0.69, 0.9], 0.7) == CycleHits(1, 4, 2)


def test_the_planted_mass_and_bound_are_recovered():
    rho, cycles = 0.1, 6
    covered_bound = covered_mass = 0
    for seed in range(200):
        curves = elite_curves(hits_of([rho] * cycles, seed))
        last = curves.points[-1]
        truth = 1 - (1 - rho) ** (cycles - 1)
        covered_bound += last.bound.interval[0] <= truth <= last.bound.interval[1]
        covered_mass += all(one.mass.interval[0] <= rho <= one.mass.interval[1] for one in curves.points)
    assert covered_bound / 200 >= 0.95
    assert covered_mass / 200 >= 0.95


def test_a_search_that_learns_nothing_breaks_the_bound_but_not_the_mass():
    readings = by_name(read_elite_probability(hits_of([0.3] * 12, seed=2), gamma=0.7))
    assert readings["elite_bound"].fit is Fit.FAILS
    assert "does not hold" in readings["elite_bound"].verdict
    assert readings["elite_mass"].fit is Fit.UNDECIDED
    assert readings["elite_any_hit"].fit is Fit.UNDECIDED


def test_a_search_that_concentrates_on_elites_keeps_the_bound():
    masses = [0.1] + [min(0.98, 0.35 * t) for t in range(1, 6)]
    readings = by_name(read_elite_probability(hits_of(masses, seed=1, candidates=400), gamma=0.7))
    assert readings["elite_bound"].fit is Fit.HOLDS
    assert readings["elite_mass"].fit is Fit.HOLDS


def test_a_fallen_mass_is_told():
    readings = by_name(read_elite_probability(hits_of([0.6, 0.6, 0.1], seed=1), gamma=0.7))
    assert readings["elite_mass"].fit is Fit.FAILS
    assert "cycle 3" in readings["elite_mass"].verdict


def test_no_elite_at_all_where_one_was_certain_is_told():
    cycles = [CycleHits(1, 50, 25), CycleHits(2, 50, 0), CycleHits(3, 50, 0)]
    assert by_name(read_elite_probability(cycles, gamma=0.7))["elite_any_hit"].fit is Fit.FAILS


def test_the_curves_differ_by_their_exponents():
    curves = elite_curves([CycleHits(1, 50, 5), CycleHits(2, 50, 5), CycleHits(3, 50, 0)])
    assert curves.initial.value == 0.1
    assert [one.bound.value for one in curves.points] == [pytest.approx(0.1), pytest.approx(0.19)]
    assert [one.any_hit.value for one in curves.points] == [
        pytest.approx(1 - 0.9**50), pytest.approx(1 - 0.9**100),
    ]  # fmt: skip
    assert [one.has_hit for one in curves.points] == [True, True]


def test_without_gamma_or_a_second_cycle_nothing_can_be_told():
    for cycles, gamma in (([CycleHits(1, 9, 1)], 0.5), ([CycleHits(1, 9, 1), CycleHits(2, 9, 1)], None)):
        assert {reading.fit for reading in read_elite_probability(cycles, gamma)} == {Fit.UNTOLD}


@settings(max_examples=40, deadline=None)
@given(COUNTS)
def test_every_curve_is_a_probability_within_its_interval_and_the_bound_never_falls(counts):
    curves = elite_curves([CycleHits(cycle, n, hits) for cycle, (n, hits) in enumerate(counts)])
    for point in curves.points:
        for estimate in (point.bound, point.mass, point.any_hit):
            low, high = estimate.interval
            assert 0 <= low <= estimate.value <= high <= 1
        assert point.any_hit.value >= point.bound.value - 1e-12
    bounds = [point.bound.value for point in curves.points]
    assert bounds == sorted(bounds)
