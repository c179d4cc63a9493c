"""A smoke attempt: two batches learnt, one answered, costs and claims reported, and no score anywhere."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from attempt_scene import CLASSES, honest, make_spec, right_answers
from fakes import ScriptedSandbox

from contracts.failures import FailureReason
from contracts.names import AttemptKind, Integrity, ScoredOn
from sandbox_runner.guest import plain
from sandbox_runner.smoke import smoke_spec


@pytest.fixture
def run(run_guest):
    """Run a smoke attempt with a guest that follows a script."""
    return partial(run_guest, kind=AttemptKind.SMOKE)


def test_a_smoke_run_that_comes_through_has_costs_and_claims_and_no_measurement(run):
    outcome = run(honest)
    assert (outcome.measurement, outcome.failure, outcome.flags) == (None, None, ())
    assert outcome.smoke.answered_images == 4
    assert (outcome.smoke.claimed_parameters, outcome.smoke.claimed_train_seconds) == (7, 1.5)
    assert outcome.smoke.startup_seconds > 0
    assert outcome.smoke.wall_seconds >= outcome.smoke.claimed_predict_seconds > 0
    assert not any("accuracy" in name for name in vars(outcome.smoke))


def test_the_guest_gets_two_batches_and_nothing_that_says_smoke(run):
    jobs = []

    def script(guest: ScriptedSandbox):
        jobs.append(json.loads(guest.hear()[1]))
        guest.leave(1)

    run(script, epochs=50, hyperparameters={"batch": 3, "lr": 0.1}, integrity=Integrity.STRICT)
    assert (jobs[0]["data"]["count"], jobs[0]["epochs"]) == (6, 1)
    assert jobs[0]["hyperparameters"] == {"batch": 3, "lr": 0.1}
    assert "smoke" not in json.dumps(jobs[0])


@pytest.mark.parametrize(
    ("given", "batch", "images"),
    [
        ({}, 4, 8),
        ({"batch": 512}, 4, 8),
        ({"batch": 3}, 3, 6),
        ({"batch": "x"}, "x", 8),
        ({"batch": 0}, 0, 8),
    ],
)
def test_batches_are_small_and_senseless_ones_are_left_to_the_guest(given, batch, images):
    asked = smoke_spec(make_spec(hyperparameters=given), 60_000)
    assert (asked.hyperparameters["batch"], asked.train_images) == (batch, images)


@pytest.mark.parametrize(("available", "batch", "images"), [(6, 3, 6), (3, 1, 2), (1, 1, 1)])
def test_of_a_tiny_dataset_no_more_is_asked_than_it_has(available, batch, images):
    asked = smoke_spec(make_spec(), available)
    assert (asked.hyperparameters["batch"], asked.train_images) == (batch, images)


def test_an_answer_that_is_not_finite_fails(run):
    def script(guest):
        honest(guest, lambda images: np.full((len(images), CLASSES), np.nan, "<f4"))

    outcome = run(script)
    assert (outcome.smoke, outcome.failure.reason) == (None, FailureReason.NON_FINITE)


def test_an_answer_of_the_wrong_length_fails(run):
    outcome = run(lambda guest: honest(guest, lambda images: right_answers(images)[1:]))
    assert (outcome.smoke, outcome.failure.reason) == (None, FailureReason.INVALID_RESULT)


def test_a_run_that_is_scored_has_no_smoke_result(run):
    outcome = run(honest, kind=AttemptKind.EVALUATE, scored_on=ScoredOn.ALL)
    assert (outcome.smoke, outcome.measurement.accuracy) == (None, 1.0)


def test_the_recipe_takes_exactly_two_steps_on_what_a_smoke_run_gives(tmp_path):
    spec = smoke_spec(make_spec(), 30)
    images = torch.zeros(spec.train_images, 1, 4, 4, dtype=torch.uint8)
    images.numpy().tofile(tmp_path / "images")
    torch.zeros(spec.train_images, dtype=torch.int64).numpy().tofile(tmp_path / "labels")
    seen = []

    class Net(torch.nn.Module):
        def __init__(self, in_shape, out_shape):
            super().__init__()
            self.linear = torch.nn.Linear(16, out_shape[0])

        def forward(self, x):
            if self.training:
                seen.append(len(x))
            return self.linear(x.flatten(1))

    class module:
        pass

    module.Net = Net
    job = {
        "data": {
            "train_images": str(tmp_path / "images"),
            "train_labels": str(tmp_path / "labels"),
            "count": spec.train_images,
            "shape": [1, 4, 4],
            "classes": 3,
            "mean": [0.5],
            "std": [0.5],
        },
        "epochs": spec.epochs,
        "seed": 0,
        "hyperparameters": spec.hyperparameters,
    }
    plain.build(module, job).train()
    assert seen == [4, 4]
