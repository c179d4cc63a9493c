"""Flags: raised where something is remarkable, and seldom where nothing is."""

import math
from dataclasses import replace

import numpy as np
import pytest

from contracts.names import STANDARD_DATASETS
from sandbox_runner.best_known import TABLE, best_known
from sandbox_runner.plausibility import Observed, flags_of
from sandbox_runner.scoring import Score, score

USUAL = Observed(
    dataset="cifar-10",
    epochs=1,
    train_images=50_000,
    batch=None,
    score=Score(0.60, 0.005, 10_000, None, 0),
    predicted_images=10_000,
    training_cpu_seconds=200.0,
    prediction_cpu_seconds=10.0,
)


def scored(accuracy: float, images: int = 10_000) -> Score:
    return Score(accuracy, 0.0, images, None, 0)


def halves(selection: float, sealed: float, images: int = 5000) -> Score:
    return Score(selection, 0.0, images, sealed, images)


def test_a_usual_result_raises_no_flag() -> None:
    assert flags_of(USUAL) == ()


# --- accuracy above the best known -----------------------------------------------------------------


@pytest.mark.parametrize("dataset", STANDARD_DATASETS)
def test_a_perfect_score_after_one_epoch_is_flagged_on_each_standard_data_set(dataset: str) -> None:
    assert flags_of(replace(USUAL, dataset=dataset, score=scored(1.0))) == ("accuracy_above_best_known",)


@pytest.mark.parametrize("dataset", STANDARD_DATASETS)
def test_the_best_known_for_twice_the_budget_is_not_flagged(dataset: str) -> None:
    for epochs in (1, 2, 3, 5, 10, 20):
        best = best_known(dataset, 2 * epochs)
        assert best is not None
        assert flags_of(replace(USUAL, dataset=dataset, epochs=epochs, score=scored(best.accuracy))) == ()


def test_few_images_must_beat_the_best_by_more_than_many() -> None:
    assert flags_of(replace(USUAL, score=scored(0.80, images=10_000))) == ("accuracy_above_best_known",)
    assert flags_of(replace(USUAL, score=scored(0.80, images=500))) == ()


def test_one_s_own_data_set_and_an_unheard_of_budget_have_no_best() -> None:
    assert flags_of(replace(USUAL, dataset="my-own", score=scored(1.0))) == ()
    assert flags_of(replace(USUAL, dataset="svhn", epochs=400, score=scored(1.0))) == ()


def test_the_table_only_rises() -> None:
    assert set(TABLE) == set(STANDARD_DATASETS)
    for rows in TABLE.values():
        assert [row.epochs for row in rows] == sorted({row.epochs for row in rows})
        assert [row.accuracy for row in rows] == sorted(row.accuracy for row in rows)
        assert all(0.3 < row.accuracy < 1 and row.source for row in rows)


def test_the_next_larger_budget_stands_for_one_between() -> None:
    best = best_known("cifar-10", 4)
    assert best is not None
    assert (best.epochs, best.accuracy) == (5, 0.8580)


# --- CPU seconds -----------------------------------------------------------------------------------


def test_training_twenty_times_as_long_as_asked_is_flagged() -> None:
    # 1 ms a prediction, 2 ms to 5 ms a trained image: what the baselines need.
    for honest in (100.0, 250.0):
        assert flags_of(replace(USUAL, training_cpu_seconds=honest)) == ()
    for honest in (100.0, 250.0):
        assert flags_of(replace(USUAL, training_cpu_seconds=20 * honest)) == ("cpu_above_asked_epochs",)


def test_asking_for_the_epochs_is_no_cheat() -> None:
    assert flags_of(replace(USUAL, epochs=20, training_cpu_seconds=20 * 250.0)) == ()


def test_an_optimizer_that_costs_more_than_its_network_is_not_flagged() -> None:
    # A perceptron of 12 million weights: 0.16 ms a prediction, 3.7 ms a trained image.
    assert flags_of(replace(USUAL, prediction_cpu_seconds=1.6, training_cpu_seconds=186.0)) == ()


def test_single_images_may_cost_more() -> None:
    assert flags_of(replace(USUAL, batch=1, training_cpu_seconds=32 * 150.0)) == ()
    assert flags_of(replace(USUAL, batch=512, training_cpu_seconds=4000.0)) == ("cpu_above_asked_epochs",)


def test_short_runs_and_gpus_are_not_judged_by_their_cpu_seconds() -> None:
    assert (
        flags_of(replace(USUAL, train_images=100, prediction_cpu_seconds=0.0, training_cpu_seconds=25.0))
        == ()
    )
    assert flags_of(replace(USUAL, training_cpu_seconds=None)) == ()


# --- the two halves --------------------------------------------------------------------------------


def test_a_sealed_half_that_falls_behind_is_flagged_and_one_that_is_ahead_too() -> None:
    assert flags_of(replace(USUAL, score=halves(0.70, 0.65))) == ("sealed_half_disagrees",)
    assert flags_of(replace(USUAL, score=halves(0.65, 0.70))) == ("sealed_half_disagrees",)


def test_halves_that_differ_as_chance_has_it_are_not_flagged() -> None:
    assert flags_of(replace(USUAL, score=halves(0.70, 0.68))) == ()
    assert flags_of(replace(USUAL, score=halves(0.70, 0.60, images=150))) == ()


def test_perfect_halves_agree() -> None:
    assert "sealed_half_disagrees" not in flags_of(replace(USUAL, score=halves(1.0, 1.0)))
    assert "sealed_half_disagrees" not in flags_of(replace(USUAL, score=halves(0.0, 0.0)))


def test_honest_networks_are_flagged_for_their_halves_about_once_in_ten_thousand() -> None:
    generator = np.random.default_rng(1)
    labels = np.zeros(2000, dtype=np.int64)
    selection = np.arange(2000) % 2 == 0
    raised = 0
    for _ in range(4000):
        predicted = (generator.random(2000) > 0.8).astype(np.int64)
        raised += "sealed_half_disagrees" in flags_of(
            replace(USUAL, score=score(predicted, labels, selection))
        )
    assert raised <= 4  # 0.4 on average: above 4 once in 20,000 runs, and the generator is seeded


def test_every_flag_can_be_raised_at_once() -> None:
    observed = replace(USUAL, score=halves(1.0, 0.9), training_cpu_seconds=math.inf)
    assert len(flags_of(observed)) == 3
