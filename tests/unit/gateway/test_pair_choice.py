"""Which near pairs become training pairs: direction, gain, shares and splits, in whatever order they come."""

import random
from collections import Counter
from itertools import combinations

import pytest

from gateway.domain.pair_choice import SPARE, NearPairs, mutation_order
from gateway.domain.training_pairs import (
    FamilySplit,
    PairSettings,
    RecordedNetwork,
    Split,
    catalogue_digest,
)


def settings(**fields) -> PairSettings:
    usual = {
        "dataset": "cifar-10",
        "min_gain": 0.005,
        "at_least": 0.5,
        "pairs_per_network": 2,
        "max_pairs": 1000,
        "mutation_pairs": 0,
        "validation_share": 0.0,
        "seed": 0,
        "fewest_lines": 5,
        "most_lines": 60,
    }
    return PairSettings(**{**usual, **fields})


def recorded(accuracies, family="ResNet", first=0) -> list[RecordedNetwork]:
    return [
        RecordedNetwork(f"lemur/{family}-{first + n}", family, f"{family}{n}", accuracy, "MIT", "bi_1")
        for n, accuracy in enumerate(accuracies)
    ]


def near(networks, chosen, pairs=None) -> NearPairs:
    """All pairs of the networks, or these, taken in."""
    found = NearPairs(networks, chosen)
    for first, second in pairs or combinations(range(len(networks)), 2):
        found.add(first, second, 0.9)
    return found


def ordered(found, families, fails=lambda candidate: None, batch=4) -> list:
    """Everything that the queue gives out, settled; `fails` says why a candidate becomes no pair."""
    queue, made = found.queue(families), []
    while taken := queue.take(batch):
        for candidate in taken:
            reason = fails(candidate)
            queue.settle(candidate, left_out=reason)
            made += [] if reason else [candidate]
    assert queue.done == queue.total
    return made


ALL_TRAIN = FamilySplit({}, 0.0, 0)


def test_the_better_first_epoch_is_the_target_whichever_comes_first():
    networks = recorded([0.3, 0.6])
    for pair in ((0, 1), (1, 0)):
        made = ordered(near(networks, settings(), [pair]), ALL_TRAIN)
        assert [(c.baseline, c.target) for c in made] == [(0, 1)]


@pytest.mark.parametrize(
    ("accuracies", "min_gain", "pairs"),
    [
        ((0.7, 0.705), 0.005, 1),
        ((0.1, 0.105), 0.005, 1),
        ((0.7, 0.7049), 0.005, 0),
        ((0.7, 0.7), 0.0, 0),
        ((0.7, 0.70001), 0.0, 1),
    ],
)
def test_a_gain_counts_from_the_smallest_that_is_asked_for(accuracies, min_gain, pairs):
    found = near(recorded(accuracies), settings(min_gain=min_gain))
    assert len(ordered(found, ALL_TRAIN)) == pairs
    assert found.left_out["gain_too_small"] == 1 - pairs


def test_in_a_cluster_no_network_is_baseline_or_target_too_often_and_most_take_part():
    networks = recorded([n / 1000 for n in range(60)])
    made = ordered(near(networks, settings(pairs_per_network=3, min_gain=0.001)), ALL_TRAIN)
    baselines, targets = Counter(c.baseline for c in made), Counter(c.target for c in made)
    assert max(baselines.values()) <= 3
    assert max(targets.values()) <= 3
    assert len(made) > 0.7 * 3 * 59
    assert len(set(baselines) | set(targets)) >= 59


def test_what_is_kept_is_bounded_and_what_is_not_kept_is_counted():
    networks = recorded([n / 1000 for n in range(200)])
    chosen = settings(pairs_per_network=1, min_gain=0.0)
    found = near(networks, chosen)
    kept = found.queue(ALL_TRAIN).total
    assert kept <= SPARE * len(networks)
    assert kept + found.left_out["baseline_has_enough"] == 200 * 199 / 2


def test_the_choice_does_not_depend_on_the_order_in_which_near_pairs_come():
    networks = recorded([n / 1000 for n in range(50)])
    pairs = list(combinations(range(50), 2))
    chosen = settings(pairs_per_network=2, min_gain=0.0)
    expected = ordered(near(networks, chosen, pairs), ALL_TRAIN)
    random.Random(1).shuffle(pairs)
    assert ordered(near(networks, chosen, pairs), ALL_TRAIN) == expected
    other = ordered(near(networks, settings(pairs_per_network=2, min_gain=0.0, seed=1)), ALL_TRAIN)
    assert other != expected


def test_a_pair_whose_delta_is_refused_leaves_its_room_to_another():
    networks = recorded([0.1, 0.2, 0.3, 0.4])
    refused = {(0, 1), (0, 2)}
    made = ordered(
        near(networks, settings(pairs_per_network=1), [(0, 1), (0, 2), (0, 3)]),
        ALL_TRAIN,
        lambda c: "too_long" if (c.baseline, c.target) in refused else None,
    )
    assert [(c.baseline, c.target) for c in made] == [(0, 3)]


def test_a_target_is_free_again_when_the_pair_that_held_it_fails_in_the_same_batch():
    networks = recorded([0.1, 0.2, 0.3])
    for failing in (0, 1):
        made = ordered(
            near(networks, settings(pairs_per_network=1), [(0, 2), (1, 2)]),
            ALL_TRAIN,
            lambda c, failing=failing: "too_short" if c.baseline == failing else None,
        )
        assert [c.baseline for c in made] == [1 - failing]


@pytest.mark.parametrize("fails", [False, True])
def test_everything_that_was_near_is_made_or_counted(fails):
    networks = [*recorded([n / 100 for n in range(30)]), *recorded([n / 90 for n in range(30)], "VGG")]
    chosen = settings(max_pairs=25, validation_share=0.2, min_gain=0.03)
    found = near(networks, chosen)
    families = FamilySplit({"ResNet": 3, "VGG": 1}, 0.25, 0)
    made = ordered(found, families, lambda c: "too_long" if fails and c.target % 2 else None)
    assert len(made) + sum(found.left_out.values()) == 60 * 59 / 2
    assert len(made) == 25
    assert found.left_out["enough_pairs"] > 0
    assert found.left_out["across_splits"] > 0
    assert (found.left_out["too_long"] > 0) == fails


def test_both_ends_of_a_pair_belong_to_one_split_and_each_split_has_its_share_of_the_room():
    networks = [*recorded([n / 100 for n in range(30)]), *recorded([n / 90 for n in range(30)], "VGG")]
    families = FamilySplit({"ResNet": 3, "VGG": 1}, 0.25, 0)
    found = near(networks, settings(max_pairs=20, validation_share=0.2))
    made = ordered(found, families)
    splits = Counter()
    for candidate in made:
        ends = {families.of(networks[n].family) for n in (candidate.baseline, candidate.target)}
        assert len(ends) == 1
        splits[ends.pop()] += 1
    assert splits == {Split.TRAIN: 16, Split.VALIDATION: 4}


SKEWED = {"huge": 5000, **{f"family-{n}": 1 + n % 40 for n in range(100)}}


@pytest.mark.parametrize("seed", range(20))
def test_the_split_comes_near_its_share_although_one_family_holds_most(seed):
    split = FamilySplit(SKEWED, 0.1, seed)
    validating = sum(weight for family, weight in SKEWED.items() if split.of(family) is Split.VALIDATION)
    assert "huge" not in split.validating
    assert validating / sum(SKEWED.values()) == pytest.approx(0.1, abs=0.005)


def test_another_seed_validates_with_other_families():
    assert len({FamilySplit(SKEWED, 0.1, seed).validating for seed in range(5)}) == 5


def test_of_few_families_the_smallest_validates_and_a_single_one_trains():
    assert FamilySplit({"a": 50, "b": 20, "c": 30}, 0.1, 0).validating == {"b"}
    assert FamilySplit({"a": 50}, 0.1, 0).validating == frozenset()
    assert FamilySplit({"a": 50, "b": 1}, 0.0, 0).validating == frozenset()


def test_weights_count_what_a_family_can_give_by_itself():
    networks = [*recorded([0.1, 0.2, 0.3, 0.4]), *recorded([0.5], "VGG")]
    found = near(networks, settings(pairs_per_network=2))
    # ResNet: 2 + 2 + 1 within; what leads to VGG is nobody's.
    assert found.weights() == {"ResNet": 6, "VGG": 1}


def test_mutations_alternate_between_families_and_keep_to_their_split():
    networks = [
        *recorded([0.1] * 50, "huge"),
        *recorded([0.1] * 3, "small"),
        *recorded([0.1] * 3, "held-out"),
    ]
    families = FamilySplit({"huge": 50, "small": 50, "held-out": 1}, 0.1, 0)
    order = list(mutation_order(networks, range(1, len(networks)), families, Split.TRAIN, 0))
    assert {networks[n].family for n in order[:6:2]} | {networks[n].family for n in order[1:6:2]} == {
        "huge",
        "small",
    }
    assert Counter(networks[n].family for n in order[:6]) == {"huge": 3, "small": 3}
    assert sorted(order) == list(range(1, 53))
    held_out = list(mutation_order(networks, range(len(networks)), families, Split.VALIDATION, 0))
    assert sorted(held_out) == [53, 54, 55]


def test_the_digest_of_the_catalogue_changes_with_any_of_its_networks():
    networks = recorded([0.1, 0.2])
    assert catalogue_digest(networks) == catalogue_digest(recorded([0.1, 0.2]))
    for other in (recorded([0.1, 0.3]), recorded([0.1]), recorded([0.1, 0.2], "VGG"), networks[::-1]):
        assert catalogue_digest(other) != catalogue_digest(networks)
