"""Batches, learning rates and verdicts: decided by numbers alone."""

import math
from dataclasses import replace

import pytest

from contracts.fine_tuning import Schedule
from generator_svc.fine_tuning.batching import (
    batches_in_order,
    batches_of_epoch,
    batches_of_step,
    padded_width,
    steps_of,
    steps_of_epoch,
)
from generator_svc.fine_tuning.learning import Validations, judge, learning_rate
from generator_svc.fine_tuning.settings import PAPER

LENGTHS = [100 + 37 * index % 900 for index in range(53)]


def test_every_chat_is_learnt_once_an_epoch_and_no_epoch_is_like_another():
    first, second = (batches_of_epoch(LENGTHS, 2, 7, epoch) for epoch in (0, 1))
    assert sorted(index for batch in first for index in batch) == list(range(53))
    assert sorted(index for batch in second for index in batch) == list(range(53))
    assert first != second
    assert first == batches_of_epoch(LENGTHS, 2, 7, 0)
    assert first != batches_of_epoch(LENGTHS, 2, 8, 0)


def test_chats_of_a_batch_are_of_similar_length():
    def waste(batches):
        return sum(max(LENGTHS[i] for i in batch) - min(LENGTHS[i] for i in batch) for batch in batches)

    unsorted = [(index, index + 1) for index in range(0, 52, 2)]
    assert waste(batches_of_epoch(LENGTHS, 2, 0, 0)) < waste(unsorted) / 2


def test_the_steps_of_an_epoch_go_over_all_its_batches():
    steps = steps_of_epoch(len(LENGTHS), 2, 4)
    assert steps == 7
    told = [batch for step in range(steps, 2 * steps) for batch in batches_of_step(LENGTHS, 2, 4, 3, step)]
    assert told == batches_of_epoch(LENGTHS, 2, 3, 1)


def test_a_run_ends_after_its_epochs_or_at_its_last_step():
    assert steps_of(53, 2, 4, 3, None) == 21
    assert steps_of(53, 2, 4, 3, 10) == 10
    assert steps_of(53, 2, 4, 3, 1000) == 21


def test_a_batch_is_as_wide_as_the_next_multiple_of_64():
    assert [padded_width([length, 3]) for length in (1, 64, 65)] == [64, 64, 128]
    assert batches_in_order([5, 1, 3], 2) == [(1, 2), (0,)]


def test_the_learning_rate_warms_up_and_falls():
    settings = replace(PAPER, learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.01
    linear, constant = (
        [learning_rate(replace(settings, schedule=schedule), step, 100) for step in (55, 99)]
        for schedule in (Schedule.LINEAR, Schedule.CONSTANT)
    )
    assert linear == pytest.approx([0.5, 1 / 90])
    assert constant == [1.0, 1.0]


def test_training_ends_when_so_many_validations_brought_nothing_better():
    validations = Validations()
    for step, loss in ((0, 3.0), (10, 2.0), (20, 2.1), (30, 2.0)):
        validations = validations.with_loss(step, loss)
    assert (validations.best_step, validations.best_trained_step) == (10, 10)
    assert validations.has_stalled(2)
    assert not validations.has_stalled(3)
    assert not validations.has_stalled(0)
    assert not validations.with_loss(40, 1.9).has_stalled(2)


def test_the_kept_weights_are_trained_ones_even_where_none_is_better_than_before():
    worse = Validations().with_loss(0, 1.0).with_loss(5, 3.0).with_loss(10, 2.0)
    assert (worse.best_step, worse.best_trained_step) == (0, 10)
    assert Validations().with_loss(0, 1.0).best_trained_step is None


def test_validation_is_due_before_the_first_step_now_and_then_and_after_the_last():
    due = [step for step in range(12) if Validations().is_due(step, 11, 5)]
    assert due == [0, 5, 10, 11]
    assert not Validations().with_loss(5, 1.0).is_due(5, 11, 5)


def test_an_adapter_is_adopted_only_where_it_is_better():
    assert judge(2.0, 1.5, None, None).adopted
    assert not judge(2.0, 2.0, None, None).adopted
    assert not judge(2.0, math.nan, None, None).adopted
    assert judge(2.0, 1.5, 0.5, 0.5).adopted
    worse = judge(2.0, 1.5, 0.5, 0.25, samples=32)
    assert not worse.adopted
    assert "25%" in worse.reason
    assert "50%" in worse.reason


def test_a_fall_of_the_valid_rate_that_chance_explains_is_none():
    assert judge(2.0, 1.5, 0.5, 0.25, samples=8).adopted
    assert judge(2.0, 1.5, 0.05, 0.0, samples=20).adopted
    assert not judge(2.0, 1.5, 1.0, 0.0, samples=8).adopted
    assert not judge(2.0, 1.5, 0.5, 0.4, samples=1000).adopted
    assert judge(2.0, 1.5, 0.0, 1.0, samples=8).adopted
