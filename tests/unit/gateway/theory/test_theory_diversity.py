"""Diversity: distances are Jaccard's, a planted collapse raises its alarm, noise raises none."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.theory.diversity import (
    SHINGLE_TOKENS,
    Action,
    CycleDiversity,
    filter_effect,
    find_alarms,
    mean_distance,
    read_diversity,
    read_filter_effect,
    sketch_of,
    sketched_distance,
    token_entropy,
)
from gateway.theory.reading import Fit

TEXTS = st.text("ab c(d)\n", max_size=200)


def words(draws, count, among=400):
    return " ".join(f"w{draws.randrange(among)}" for _ in range(count))


def exact_distance(one, other):
    first, second = (
        {tuple(text.split()[i : i + SHINGLE_TOKENS]) for i in range(len(text.split()) - SHINGLE_TOKENS + 1)}
        for text in (one, other)
    )
    return 1 - len(first & second) / len(first | second)


@settings(max_examples=40, deadline=None)
@given(TEXTS, TEXTS)
def test_a_distance_is_symmetric_within_0_and_1_and_zero_to_itself(one, other):
    first, second = sketch_of(one), sketch_of(other)
    assert 0 <= sketched_distance(first, second) <= 1
    assert sketched_distance(first, second) == sketched_distance(second, first)
    assert sketched_distance(first, first) == 0


@pytest.mark.parametrize("kept", [0, 300, 600, 900])
def test_a_planted_distance_is_recovered(kept):
    errors = []
    for seed in range(8):
        draws = random.Random(seed)
        one = words(draws, 1000)
        other = " ".join([*one.split()[:kept], words(draws, 1000 - kept)])
        found = sketched_distance(sketch_of(one), sketch_of(other))
        errors.append(found - exact_distance(one, other))
    assert abs(sum(errors) / 8) < 0.045
    assert max(map(abs, errors)) < 0.15


def test_a_name_or_a_space_is_no_shared_shingle_by_accident():
    assert sketched_distance(sketch_of("a+b"), sketch_of("a + b")) == 0  # tokens, not characters
    assert sketched_distance(sketch_of("a + b"), sketch_of("a + c")) == 1


def test_entropy_is_that_of_the_tokens():
    assert token_entropy(["a b", "c d"]) == pytest.approx(math.log(4))
    assert token_entropy(["x x x"]) == 0
    assert token_entropy(["  "]) is None
    assert mean_distance([sketch_of("a")]) is None


def test_few_new_proposals_pause_fine_tuning_only_beyond_doubt():
    assert find_alarms([CycleDiversity(1, 6, 2)]) == ()
    (alarm,) = find_alarms([CycleDiversity(1, 50, 40), CycleDiversity(2, 50, 12)])
    assert (alarm.cycle, alarm.action) == (2, Action.PAUSE_FINE_TUNING)
    assert alarm.value == pytest.approx(0.24)


def test_distances_that_stay_low_roll_the_adapter_back_and_one_low_cycle_does_not():
    def course(*distances):
        return [CycleDiversity(c, 20, 20, distance) for c, distance in enumerate(distances, start=1)]

    assert find_alarms(course(0.4, 0.1, 0.4, 0.1, 0.3)) == ()
    (alarm,) = find_alarms(course(0.4, 0.3, 0.19, 0.12))
    assert (alarm.cycle, alarm.action) == (4, Action.ROLL_BACK_ADAPTER)
    assert alarm.threshold == pytest.approx(0.2)


def test_one_search_never_says_what_the_filter_does():
    reading = read_diversity([CycleDiversity(1, 50, 40, 0.4, 5.0), CycleDiversity(2, 50, 10, 0.1, 3.0)])
    assert reading.fit is Fit.UNTOLD
    assert "cannot be told from one search" in reading.verdict
    assert [alarm["cycle"] for alarm in reading.figures["alarms"]] == [2]
    assert read_diversity([]).figures["cycles"] == []


def planted_pairs(effect, seeds=12, cycles=8):
    draws = random.Random(7)
    pairs = []
    for _ in range(seeds):
        level = draws.uniform(0.3, 0.6)  # a seed's own, which the pairing takes out
        free = [level - 0.02 * cycle + draws.gauss(0, 0.01) for cycle in range(cycles)]
        kept = [value + (effect if cycle >= cycles // 2 else 0) for cycle, value in enumerate(free)]
        pairs.append((kept, [value + draws.gauss(0, 0.01) for value in free]))
    return pairs


def test_a_planted_effect_of_the_filter_is_recovered():
    reading = read_filter_effect(planted_pairs(0.1))
    assert reading.fit is Fit.HOLDS
    assert reading.observed.interval[0] <= 0.1 <= reading.observed.interval[1]
    assert read_filter_effect(planted_pairs(-0.1)).fit is Fit.FAILS


def test_no_effect_of_the_filter_is_none_shown_and_one_pair_tells_nothing():
    assert read_filter_effect(planted_pairs(0.0)).fit is Fit.UNDECIDED
    assert read_filter_effect(planted_pairs(0.1)[:1]).fit is Fit.UNTOLD
    assert filter_effect([([0.5], [0.4])]) is None
