"""The guest's recipe for plain networks, on data that any network learns."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_datasets import blobs, guest_data

from contracts.failures import FailureReason
from sandbox_runner.guest import data as guest_data_module
from sandbox_runner.guest import plain, recipe
from sandbox_runner.guest.data import TrainingData, flipped, shifted, shuffled_batches
from sandbox_runner.guest.failures import CandidateFailure

pytestmark = pytest.mark.usefixtures("one_thread")


class Small(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        assert in_shape[1:] == (1, 8, 8)
        assert out_shape == (3,)
        self.body = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(64, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(16, 3),
        )

    def forward(self, x):
        return self.body(x)


def module_of(network):
    return SimpleNamespace(Net=network)


@pytest.fixture
def job(tmp_path):
    torch.manual_seed(0)
    return {"data": guest_data(tmp_path), "epochs": 3, "seed": 5, "hyperparameters": {}}


def trained(job, network=Small):
    torch.manual_seed(job["seed"])
    session = plain.build(module_of(network), job)
    return session, session.train()


def test_one_recipe_learns_and_claims_what_it_did(job):
    session, claims = trained(job)
    images, labels = blobs(60, seed=2)
    assert (session.predict(images).argmax(1) == labels).mean() > 0.9
    assert claims["parameters"] == 64 * 16 + 16 + 32 + 16 * 3 + 3
    assert 0 < claims["train_loss"] < math.log(3)
    assert claims["train_seconds"] > 0


def test_the_same_seed_gives_bit_equal_logits_and_another_seed_does_not(job):
    images, _ = blobs(30, seed=2)
    one, again = (trained(job)[0].predict(images) for _ in range(2))
    other = trained(job | {"seed": 6})[0].predict(images)
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("count", [1, 2, 255, 256])
def test_predictions_do_not_depend_on_the_batch_they_come_in(job, count):
    session, _ = trained(job | {"epochs": 1})
    images, _ = blobs(256, seed=3)
    logits = session.predict(images[:count])
    assert (logits.shape, logits.dtype) == ((count, 3), np.float32)
    assert logits[0] == pytest.approx(session.predict(images[:1])[0], abs=1e-4)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"speed": 1}, "unknown hyperparameter 'speed'; known are batch, optimizer, lr"),
        ({"lr": 0}, "lr is 0; it must be a number from 1e-06 to 10"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": "fast"}, "lr is 'fast'"),
        ({"lr": True}, "lr is True"),
        ({"batch": 1.5}, "batch is 1.5; it must be a whole number from 1 to 4096"),
        ({"batch": 0}, "batch is 0"),
        ({"optimizer": "lion"}, "optimizer is 'lion'; possible are adamw, sgd"),
        ({"flip": 1}, "flip is 1; it must be true or false"),
        ({"label_smoothing": 0.95}, "label_smoothing is 0.95"),
    ],
)
def test_hyperparameters_out_of_range_are_refused_by_name(job, hyperparameters, message):
    with pytest.raises(recipe.HyperparameterInvalid, match=message):
        plain.build(module_of(Small), job | {"hyperparameters": hyperparameters})


def test_hyperparameters_change_the_training(job):
    usual = trained(job)[1]["train_loss"]
    for given in ({"lr": 1e-5}, {"optimizer": "sgd"}, {"batch": 100}, {"label_smoothing": 0.5}, {"shift": 2}):
        assert trained(job | {"hyperparameters": given})[1]["train_loss"] != usual
    assert trained(job | {"hyperparameters": {"dropout": 0.9, "transform": "norm"}})[1]["train_loss"] == usual


def test_default_batch_keeps_the_number_of_steps_useful():
    assert [recipe.usual_batch(count) for count in (1, 10_000, 25_600, 60_000)] == [32, 32, 80, 128]


def test_learning_rate_rises_then_falls_to_nearly_nothing():
    shares = [recipe._share_of_lr(step, 100) for step in range(100)]
    top = shares.index(max(shares))
    assert max(shares) == 1.0
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert 0 < shares[-1] < 0.02
    assert all(0 < recipe._share_of_lr(step, steps) <= 1 for steps in (1, 2, 3, 7) for step in range(steps))


def test_biases_and_normalisations_have_no_weight_decay():
    network = Small((1, 1, 8, 8), (3,))
    groups = recipe._optimizer(network, recipe.Hyperparameters(batch=1)).param_groups
    decay = {id(weights): group["weight_decay"] for group in groups for weights in group["params"]}
    assert {name: decay[id(weights)] > 0 for name, weights in network.named_parameters()} == {
        "body.1.weight": True,
        "body.1.bias": False,
        "body.2.weight": False,
        "body.2.bias": False,
        "body.5.weight": True,
        "body.5.bias": False,
    }


class Explodes(Small):
    def forward(self, x):
        return super().forward(x) * float("inf")


def test_a_loss_that_is_not_finite_is_named(job):
    with pytest.raises(recipe.NonFiniteLoss, match="not finite at step") as caught:
        trained(job, Explodes)
    assert caught.value.reason is FailureReason.NON_FINITE


class WrongShape(Small):
    def forward(self, x):
        return super().forward(x)[:, :2]


class TwoOutputs(Small):
    def forward(self, x):
        return super().forward(x), x


class FancyTensor(Small):
    def forward(self, x):
        return super().forward(x).as_subclass(torch.nn.Parameter)


@pytest.mark.parametrize("network", [WrongShape, TwoOutputs, FancyTensor])
def test_outputs_of_another_kind_are_refused_in_training_already(job, network):
    with pytest.raises(CandidateFailure, match="forward` returned") as caught:
        trained(job, network)
    assert caught.value.reason is FailureReason.INVALID_RESULT


class LiesWhenAsked(Small):
    def forward(self, x):
        logits = super().forward(x)
        return logits if self.training else logits.long()


def test_outputs_are_judged_in_every_prediction(job):
    session, _ = trained(job | {"epochs": 1}, LiesWhenAsked)
    with pytest.raises(CandidateFailure, match=r"torch\.int64"):
        session.predict(blobs(3, seed=1)[0])


def test_training_data_are_the_mounted_files(tmp_path):
    data = TrainingData.from_description(guest_data(tmp_path, count=30, channels=3))
    images, labels = blobs(30, seed=1, channels=3)
    assert np.array_equal(data.images.numpy(), images)
    assert data.labels.tolist() == labels.tolist()
    pixels = data.normalised(data.images)
    assert pixels.numpy() == pytest.approx((images / 255 - 0.3) / 0.25, abs=1e-5)


def test_files_shorter_than_described_are_an_error(tmp_path):
    with pytest.raises(RuntimeError):
        TrainingData.from_description(guest_data(tmp_path) | {"count": 301})


@pytest.mark.parametrize(("count", "batch"), [(1, 32), (33, 32), (47, 32), (48, 32), (1000, 64), (5, 5)])
def test_an_epoch_holds_every_image_once_in_batches_of_nearly_one_size(count, batch):
    batches = list(shuffled_batches(count, batch, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    sizes = [len(indices) for indices in batches]
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == guest_data_module.steps_per_epoch(count, batch)


def test_shifts_and_flips_move_whole_images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.zeros(50, 1, 9, 9, dtype=torch.uint8)
    pixels[:, :, 4, 3] = 200
    moved = shifted(pixels, 2, generator)
    places = {tuple(place) for place in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert len(places) > 10
    assert all(2 <= row <= 6 and 1 <= column <= 5 for row, column in places)
    assert moved.sum() == pixels.sum()
    columns = set(flipped(pixels, generator).nonzero()[:, 3].tolist())
    assert columns == {3, 5}
