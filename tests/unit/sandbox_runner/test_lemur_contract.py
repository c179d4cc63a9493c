"""LEMUR's contract, with sources that use it as LEMUR's own do."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_datasets import blobs, guest_data

from contracts.failures import FailureReason
from sandbox_runner.guest import lemur
from sandbox_runner.guest.data import TrainingData
from sandbox_runner.guest.failures import CandidateFailure
from sandbox_runner.guest.recipe import HyperparameterInvalid
from sandbox_runner.guest.transforms import UnknownTransform, transform_named

pytestmark = pytest.mark.usefixtures("one_thread")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.in_shape, self.prm, self.device = in_shape, prm, device
        self.body = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(16 * in_shape[1], *out_shape)
        )
        self.batches = []

    def forward(self, x):
        return self.body(x)

    def train_setup(self, prm):
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        assert self.training
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.batches.append((inputs, labels))
            self.optimizer.zero_grad()
            self.criterion(self(inputs), labels).backward()
            self.optimizer.step()


def module_of(network=Net, supported=frozenset({"lr", "momentum", "dropout"})):
    return SimpleNamespace(Net=network, supported_hyperparameters=lambda: supported)


@pytest.fixture
def job(tmp_path):
    torch.manual_seed(0)
    return {"data": guest_data(tmp_path), "epochs": 2, "seed": 5, "hyperparameters": {"lr": 0.1}}


def built(job, **module):
    torch.manual_seed(job["seed"])
    return lemur.build(module_of(**module), job)


def test_a_source_learns_by_its_own_means(job):
    session = built(job | {"epochs": 5})
    claims = session.train()
    images, labels = blobs(60, seed=2)
    logits = session.predict(images)
    assert (logits.argmax(1) == labels).mean() > 0.9
    assert (logits.dtype, logits.shape) == (np.float32, (60, 3))
    assert claims["parameters"] == 16 * 3 + 3


def test_the_same_seed_gives_bit_equal_logits(job):
    images, _ = blobs(30, seed=2)
    answers = []
    for _ in range(2):
        session = built(job)
        session.train()
        answers.append(session.predict(images).tobytes())
    assert answers[0] == answers[1]


def test_prm_holds_the_requests_values_and_usual_ones_for_the_rest(job):
    supported = {
        "lr": 0.5,
        "momentum": 0,
        "dropout": 0,
        "weight_decay": 0,
        "odd_name": 0,
    }  # some return a dict
    network = built(job | {"hyperparameters": {"lr": 0.07, "batch": 20}}, supported=supported)._network
    assert network.prm == {
        "lr": 0.07,
        "momentum": 0.9,
        "dropout": 0.2,
        "weight_decay": 1e-4,
        "odd_name": 0.5,
        "batch": 20,
        "transform": "norm_32",
        "epoch": 2,
    }
    assert network.in_shape == (20, 1, 32, 32)
    assert all(type(side) is int for side in network.in_shape)
    assert network.device == torch.device("cpu")


def test_a_transform_decides_the_size_that_the_network_is_built_for_and_fed(job):
    session = built(job | {"hyperparameters": {"transform": "echo_64_flip", "batch": 50}})
    session.train()
    network = session._network
    assert network.in_shape == (50, 1, 64, 64)
    assert {tuple(inputs.shape) for inputs, _ in network.batches} == {(50, 1, 64, 64)}
    assert all(inputs.min() >= 0 and inputs.max() <= 1 for inputs, _ in network.batches)
    assert sum(len(labels) for _, labels in network.batches) == 2 * 300


@pytest.mark.parametrize(
    ("hyperparameters", "error", "message"),
    [
        ({"transform": "norm_33"}, UnknownTransform, "unknown transform 'norm_33'"),
        ({"transform": "../../etc"}, UnknownTransform, "unknown transform"),
        ({"transform": 3}, UnknownTransform, "unknown transform '3'"),
        ({"speed": 1}, HyperparameterInvalid, "unknown hyperparameter 'speed'; this source knows batch"),
        ({"batch": 0}, HyperparameterInvalid, "batch is 0"),
        ({"batch": 2.5}, HyperparameterInvalid, "batch is 2.5"),
    ],
)
def test_hyperparameters_that_mean_nothing_are_refused_by_name(job, hyperparameters, error, message):
    with pytest.raises(error, match=message):
        built(job | {"hyperparameters": hyperparameters})


def epoch_of(job, batch=32):
    data = TrainingData.from_description(job["data"])
    transform = transform_named("norm", 1, data.normalised)
    return lemur.Epoch(data, transform, batch, torch.Generator().manual_seed(0))


def test_an_epoch_is_one_pass_even_for_a_source_that_asks_for_more(job):
    epoch = epoch_of(job)
    first, _ = next(iter(epoch))
    rest = [labels for _, labels in epoch]
    assert len(first) + sum(len(labels) for labels in rest) == 300
    assert list(epoch) == []


def test_an_epoch_answers_what_sources_ask_a_data_loader(job):
    epoch = epoch_of(job)
    assert len(epoch) == len(list(epoch)) == 9
    assert epoch.batch_size == 32
    assert len(epoch.dataset) == 300
    image, label = epoch.dataset[4]
    assert (tuple(image.shape), image.dtype, label) == ((1, 8, 8), torch.float32, 1)
    with pytest.raises(IndexError):
        epoch.dataset[300]


class Diverges(Net):
    def learn(self, train_data):
        with torch.no_grad():
            self.body[2].weight.fill_(float("nan"))


def test_weights_that_are_not_finite_are_named(job):
    with pytest.raises(CandidateFailure, match="not finite after training") as caught:
        built(job, network=Diverges).train()
    assert caught.value.reason is FailureReason.NON_FINITE


class Chatty(Net):
    def forward(self, x):
        return super().forward(x), "more"


def test_predictions_of_another_kind_are_refused(job):
    session = built(job, network=Chatty)
    with pytest.raises(CandidateFailure, match="returned a tuple"):
        session.predict(blobs(3, seed=1)[0])
