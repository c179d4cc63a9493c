"""Which near pairs become training pairs: direction, gain, shares and splits, in whatever order they come."""

import random
from collections import Counter
from itertools import combinations

import pytest

from gateway.domain import pair_choice
from gateway.domain.pair_choice import SPARE, NearPairs, mutation_order
from gateway.domain.training_pairs import (
    FamilySplit,
    Hyperparameters,
    PairSettings,
    RecordedNetwork,
    Split,
    catalogue_digest,
)


def settings(**fields) -> PairSettings:
    usual = {
        "dataset": "cifar-10",
        "hyperparameters": Hyperparameters.SAME,
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


def recorded(accuracies, family="ResNet", hyperparameters="{}") -> list[RecordedNetwork]:
    return [
        RecordedNetwork(
            f"lemur/{family}-{n}", family, f"{family}{n}", accuracy, hyperparameters, "MIT", "bi_1"
        )
        for n, accuracy in enumerate(accuracies)
    ]


def near(networks, chosen, pairs=None) -> NearPairs:
    """All pairs of the networks, or these, taken in."""
    found = NearPairs(networks, chosen)
    for first, second in pairs or combinations(range(len(networks)), 2):
        found.add(first, second, 0.9)
    return found


def made(found, fails=lambda candidate: None, batch=4) -> list:
    """Everything that the queue gives out, settled; `fails` says why a candidate becomes no pair."""
    queue = found.queue()
    while taken := queue.take(batch):
        for candidate in taken:
            queue.settle(candidate, left_out=fails(candidate))
    assert queue.done == queue.total
    return queue.made


def ends(pairs) -> list[tuple[int, int]]:
    return [(pair.baseline, pair.target) for pair in pairs]


def test_the_better_first_epoch_is_the_target_whichever_comes_first():
    networks = recorded([0.3, 0.6])
    for pair in ((0, 1), (1, 0)):
        assert ends(made(near(networks, settings(), [pair]))) == [(0, 1)]


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
    assert len(made(found)) == pairs
    assert found.left_out["gain_too_small"] == 1 - pairs


@pytest.mark.parametrize(("compared", "pairs", "left_out"), [("same", 2, 4), ("any", 6, 0)])
def test_networks_recorded_with_other_hyperparameters_are_compared_only_where_any_are(
    compared, pairs, left_out
):
    networks = [*recorded([0.1, 0.2], "A"), *recorded([0.3, 0.4], "B", '{"lr": 0.1}')]
    found = near(networks, settings(hyperparameters=Hyperparameters(compared), pairs_per_network=4))
    assert len(made(found)) == pairs
    assert found.left_out["hyperparameters_differ"] == left_out


def test_in_a_cluster_no_network_is_baseline_or_target_too_often_and_most_take_part():
    networks = recorded([n / 1000 for n in range(60)])
    pairs = made(near(networks, settings(pairs_per_network=3, min_gain=0.001)))
    baselines, targets = Counter(pair.baseline for pair in pairs), Counter(pair.target for pair in pairs)
    assert max(baselines.values()) <= 3
    assert max(targets.values()) <= 3
    assert len(pairs) > 0.7 * 3 * 59
    assert len(set(baselines) | set(targets)) >= 59


def test_what_is_kept_is_bounded_and_what_is_not_kept_is_counted():
    networks = recorded([n / 1000 for n in range(200)])
    found = near(networks, settings(pairs_per_network=1, min_gain=0.0))
    kept = found.queue().total
    assert kept <= SPARE * len(networks)
    assert kept + found.left_out["baseline_has_enough"] == 200 * 199 / 2


def test_many_pairs_a_network_do_not_make_memory_grow_beyond_its_bound(monkeypatch):
    monkeypatch.setattr(pair_choice, "MAX_KEPT", 200)
    networks = recorded([n / 100 for n in range(50)])
    found = near(networks, settings(pairs_per_network=100))
    queue = found.queue()
    assert queue.total <= 200
    assert queue.total + found.left_out["baseline_has_enough"] == 50 * 49 / 2


def test_the_choice_does_not_depend_on_the_order_in_which_near_pairs_come():
    networks = recorded([n / 1000 for n in range(50)])
    pairs = list(combinations(range(50), 2))
    chosen = settings(pairs_per_network=2, min_gain=0.0)
    expected = made(near(networks, chosen, pairs))
    random.Random(1).shuffle(pairs)
    assert made(near(networks, chosen, pairs)) == expected
    assert made(near(networks, settings(pairs_per_network=2, min_gain=0.0, seed=1))) != expected


def test_a_pair_whose_delta_is_refused_leaves_its_room_to_another():
    networks = recorded([0.1, 0.2, 0.3, 0.4])
    pairs = made(
        near(networks, settings(pairs_per_network=1), [(0, 1), (0, 2), (0, 3)]),
        lambda pair: "too_long" if pair.target in {1, 2} else None,
    )
    assert ends(pairs) == [(0, 3)]


def test_a_target_is_free_again_when_the_pair_that_held_it_fails_in_the_same_batch():
    networks = recorded([0.1, 0.2, 0.3])
    for failing in (0, 1):
        pairs = made(
            near(networks, settings(pairs_per_network=1), [(0, 2), (1, 2)]),
            lambda pair, failing=failing: "too_short" if pair.baseline == failing else None,
        )
        assert ends(pairs) == [(1 - failing, 2)]


@pytest.mark.parametrize("fails", [False, True])
def test_everything_that_was_near_is_made_or_counted(fails):
    networks = recorded([n / 100 for n in range(60)])
    found = near(networks, settings(max_pairs=25, min_gain=0.03))
    pairs = made(found, lambda pair: "too_long" if fails and pair.target % 2 else None)
    assert len(pairs) == 25
    assert len(pairs) + sum(found.left_out.values()) == 60 * 59 / 2
    assert found.left_out["enough_pairs"] > 0
    assert (found.left_out["too_long"] > 0) == fails


SKEWED = {"huge": 5000, **{f"family-{n}": 1 + n % 40 for n in range(100)}}


def split_of(weights, share, seed=0, kin=None) -> FamilySplit:
    """Of families with so many pairs of their own, and those between two of them."""
    pairs = {(family, family): weight for family, weight in weights.items()}
    return FamilySplit(weights, {**pairs, **(kin or {})}, share, seed)


@pytest.mark.parametrize("seed", range(10))
def test_the_split_comes_near_its_share_although_one_family_holds_most(seed):
    split = split_of(SKEWED, 0.1, seed)
    validating = sum(weight for family, weight in SKEWED.items() if split.of(family) is Split.VALIDATION)
    assert "huge" not in split.validating
    assert validating / sum(SKEWED.values()) == pytest.approx(0.1, abs=0.01)


def test_another_seed_validates_with_other_families():
    assert len({split_of(SKEWED, 0.1, seed).validating for seed in range(5)}) == 5


def test_families_that_are_kin_stay_together():
    weights = {"a": 100, "b": 100, "c": 100, "d": 1700}
    for seed in range(5):
        chosen = split_of(weights, 0.1, seed, {("a", "b"): 90, ("c", "d"): 300}).validating
        assert chosen == {"a", "b"}


def test_of_few_families_the_smallest_validates_and_a_single_one_trains():
    assert split_of({"a": 50, "b": 20, "c": 30}, 0.1).validating == {"b"}
    assert split_of({"a": 50}, 0.1).validating == frozenset()
    assert split_of({"a": 50, "b": 1}, 0.0).validating == frozenset()


def test_without_any_pairs_the_families_are_shared_out_by_number():
    split = FamilySplit([f"family-{n}" for n in range(40)], {}, 0.1, 0)
    assert len(split.validating) == 4


def test_mutations_alternate_between_families_and_keep_to_their_split():
    networks = [
        *recorded([0.1] * 50, "huge"),
        *recorded([0.1] * 3, "small"),
        *recorded([0.1] * 3, "held-out"),
    ]
    families = split_of({"huge": 50, "small": 50, "held-out": 1}, 0.02)
    assert families.validating == {"held-out"}
    order = list(mutation_order(networks, range(1, len(networks)), families, Split.TRAIN, 0))
    assert Counter(networks[n].family for n in order[:6]) == {"huge": 3, "small": 3}
    assert sorted(order) == list(range(1, 53))
    held_out = list(mutation_order(networks, range(len(networks)), families, Split.VALIDATION, 0))
    assert sorted(held_out) == [53, 54, 55]


def test_the_digest_of_the_catalogue_changes_with_any_of_its_networks():
    networks = recorded([0.1, 0.2])
    assert catalogue_digest(networks) == catalogue_digest(recorded([0.1, 0.2]))
    others = (
        recorded([0.1, 0.3]),
        recorded([0.1]),
        recorded([0.1, 0.2], "VGG"),
        recorded([0.1, 0.2], hyperparameters='{"lr": 1}'),
        networks[::-1],
    )
    assert all(catalogue_digest(other) != catalogue_digest(networks) for other in others)
