"""Shrunken estimates against planted truths: closer to them than single scores, and they know how close."""

import math
import random
from statistics import fmean

import pytest

from gateway.theory.reading import Estimate
from gateway.theory.shrinkage import population_mean, shrunken
from gateway.theory.variance_components import Replication, VarianceComponents, variance_components

KNOWN = VarianceComponents(10, 5, 20, architecture=4.0, noise=2.0, icc=Estimate(2 / 3))


def test_a_single_run_is_drawn_in_further_than_the_mean_of_many():
    one, three = shrunken([6.0], 0.0, KNOWN), shrunken([6.0, 6.0, 6.0], 0.0, KNOWN)
    assert one.value == pytest.approx(6 * 4 / 6)
    assert three.value == pytest.approx(6 * 12 / 14)
    assert three.deviation < one.deviation < math.sqrt(KNOWN.architecture)


def test_who_never_ran_is_taken_for_the_mean_with_the_spread_of_all():
    assert shrunken([], 0.7, KNOWN).value == 0.7
    assert shrunken([], 0.7, KNOWN).deviation == pytest.approx(math.sqrt(KNOWN.architecture))


def test_without_any_spread_between_architectures_everybody_is_the_mean():
    alike = VarianceComponents(10, 5, 20, architecture=0.0, noise=2.0, icc=Estimate(0.0))
    assert shrunken([9.0, 9.0], 1.0, alike).value == 1.0
    assert shrunken([9.0, 9.0], 1.0, alike).deviation == 0.0


def test_the_mean_of_all_weighs_whoever_ran_more_often_more_but_not_as_often():
    mean = population_mean([[0.0], [1.0, 1.0, 1.0]], KNOWN)
    weights = 1 / (4 + 2), 1 / (4 + 2 / 3)
    assert mean == pytest.approx(weights[1] / sum(weights))
    assert 0.5 < mean < 0.75


def test_no_score_has_no_mean():
    with pytest.raises(ValueError, match="at least one"):
        population_mean([[]], KNOWN)


def planted(draws: random.Random, architectures: int = 60, contenders: int = 15):
    """Truths and runs of a population with one run each, and two more of the best by the first."""
    truths = [draws.gauss(0.7, 0.03) for _ in range(architectures)]
    runs = [[truth + draws.gauss(0, 0.03)] for truth in truths]
    for place in sorted(range(architectures), key=lambda i: -runs[i][0])[:contenders]:
        runs[place] += [truths[place] + draws.gauss(0, 0.03) for _ in range(2)]
    return truths, runs


def test_estimates_of_contenders_are_closer_to_the_truth_than_their_first_scores_and_their_intervals_hold():
    draws = random.Random(5)
    flattery, bias, covered = [], [], []
    for _ in range(60):
        truths, runs = planted(draws)
        components = variance_components(runs, Replication.CONTENDERS)
        mean = population_mean(runs, components)
        best = sorted(range(len(runs)), key=lambda i: -runs[i][0])[:15]
        found = {i: shrunken(runs[i], mean, components) for i in best}
        flattery += [runs[i][0] - truths[i] for i in best]
        bias += [found[i].value - truths[i] for i in best]
        covered += [abs(found[i].value - truths[i]) <= 1.96 * found[i].deviation for i in best]
    assert fmean(flattery) > 0.02  # the winner's curse of single runs
    assert abs(fmean(bias)) < 0.004
    assert 0.92 < fmean(covered) < 0.98
