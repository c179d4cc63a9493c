"""One network by LEMUR's contract: `Net(in_shape, out_shape, prm, device)`, `train_setup`, `learn`.

It trains itself; we feed it as LEMUR's own runner does: images transformed by name, one pass over the
data for each call of `learn`, hyperparameters as it asks for them.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.failures import FailureReason
from sandbox_runner.guest.answers import logits_of
from sandbox_runner.guest.data import TrainingData, shuffled_batches, steps_per_epoch
from sandbox_runner.guest.failures import CandidateFailure
from sandbox_runner.guest.plain import count_parameters
from sandbox_runner.guest.recipe import HyperparameterInvalid, Value, usual_batch
from sandbox_runner.guest.transforms import Transform, transform_named

USUAL = {
    "lr": 0.01,
    "momentum": 0.9,
    "dropout": 0.2,
    "attention_dropout": 0.1,
    "dropout_aux": 0.5,
    "stochastic_depth_prob": 0.1,
    "weight_decay": 1e-4,
    "pretrained": 0.0,
}
"""Values of the hyperparameters whose meaning is known, where a request leaves them open."""
MIDDLE = 0.5
"""Any other one: LEMUR draws it from 0 to 1."""
ALWAYS_KNOWN = frozenset({"lr", "momentum", "dropout", "batch", "transform", "epoch"})
MIN_USUAL_SIDE = 32
"""Most of LEMUR's networks halve the image five times; smaller images are scaled up by default."""
MAX_BATCH = 4096


def build(module: ModuleType, job: dict[str, Any]) -> "Session":
    """Construct the module's `Net` for the job's data.

    Raises HyperparameterInvalid, UnknownTransform, and what the source raises.
    """
    setting = _Setting.of(module, job)
    network = module.Net(*setting.arguments())
    network.to(setting.device)
    return Session(network, setting, int(job["epochs"]), int(job["seed"]))


def arguments(module: ModuleType, job: dict[str, Any]) -> tuple[Any, ...]:
    """What `Net` is called with, in_shape first.

    Raises HyperparameterInvalid, UnknownTransform, and what the source's `supported_hyperparameters` raises.
    """
    return _Setting.of(module, job).arguments()


@dataclass(frozen=True)
class _Setting:
    """What a network is built for."""

    data: TrainingData
    transform: Transform
    prm: dict[str, Value]
    device: torch.device

    @classmethod
    def of(cls, module: ModuleType, job: dict[str, Any]) -> "_Setting":
        data = TrainingData.from_description(job["data"])
        prm = read_prm(set(module.supported_hyperparameters()), job.get("hyperparameters") or {}, data)
        prm.setdefault("epoch", int(job["epochs"]))
        transform = transform_named(prm["transform"], data.shape[0], data.normalised)
        return cls(data, transform, prm, torch.device(job.get("device", "cpu")))

    def arguments(self) -> tuple[Any, ...]:
        first = self.transform.for_prediction(self.data.images[:1])
        batch = min(int(self.prm["batch"]), len(self.data))
        in_shape = (batch, *(int(side) for side in first.shape[1:]))
        return in_shape, (self.data.classes,), self.prm, self.device


def read_prm(supported: set[str], given: Mapping[str, Value], data: TrainingData) -> dict[str, Value]:
    """The dictionary that LEMUR calls prm: what a request gives, completed by usual values.

    Raises HyperparameterInvalid for a name that the source does not support, or a batch out of range.
    """
    known = sorted(ALWAYS_KNOWN | {str(name) for name in supported})
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise HyperparameterInvalid(
            f"unknown hyperparameter {unknown[0]!r}; this source knows {', '.join(known)}"
        )
    small = min(data.shape[1:]) < MIN_USUAL_SIDE
    prm: dict[str, Value] = {name: USUAL.get(name, MIDDLE) for name in sorted(supported)}
    prm |= {"batch": usual_batch(len(data)), "transform": f"norm_{MIN_USUAL_SIDE}" if small else "norm"}
    prm |= given
    batch = prm["batch"]
    if not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= MAX_BATCH:
        raise HyperparameterInvalid(f"batch is {batch!r}; it must be a whole number from 1 to {MAX_BATCH}")
    return prm


class Epoch:
    """What `learn` gets: one pass over the shuffled data, then nothing more, as in LEMUR.

    Yields images (batch, C, H, W) and labels (batch,) on the CPU. `len`, `batch_size` and `dataset` are
    there for the sources that ask a DataLoader for them.
    """

    def __init__(
        self, data: TrainingData, transform: Transform, batch: int, generator: torch.Generator
    ) -> None:
        self.batch_size = batch
        self.dataset = TransformedImages(data, transform)
        self._data = data
        self._transform = transform
        self._batches = shuffled_batches(len(data), batch, generator)

    def __len__(self) -> int:
        return steps_per_epoch(len(self._data), self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return self

    def __next__(self) -> tuple[torch.Tensor, torch.Tensor]:
        indices = next(self._batches)
        return self._transform.for_training(self._data.images[indices]), self._data.labels[indices]


class TransformedImages:
    """The training set as a sequence of (image, label)."""

    def __init__(self, data: TrainingData, transform: Transform) -> None:
        self._data = data
        self._transform = transform

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        image = self._data.images[index].unsqueeze(0)
        return self._transform.for_training(image)[0], int(self._data.labels[index])


class Session:
    """A built network between its training and its predictions."""

    def __init__(self, network: Any, setting: _Setting, epochs: int, seed: int) -> None:
        self._network = network
        self._data = setting.data
        self._transform = setting.transform
        self._prm = setting.prm
        self._device = setting.device
        self._epochs = epochs
        self._seed = seed

    def train(self) -> dict[str, float | int]:
        """Let the network set itself up and learn; the claims are seconds and number of parameters.

        Raises CandidateFailure (non_finite) when a weight ends as NaN or infinite, and what the
        network raises.
        """
        begin = time.perf_counter()
        generator = torch.Generator().manual_seed(self._seed)
        self._network.train_setup(self._prm)
        for _ in range(self._epochs):
            self._network.train()
            self._network.learn(Epoch(self._data, self._transform, int(self._prm["batch"]), generator))
        if not all(torch.isfinite(weights).all() for weights in self._network.parameters()):
            raise CandidateFailure(FailureReason.NON_FINITE, "a weight is not finite after training")
        return {
            "train_seconds": time.perf_counter() - begin,
            "parameters": count_parameters(self._network),
        }

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (n, classes) for images (n, C, H, W). Raises CandidateFailure (invalid_result)."""
        self._network.eval()
        # The batch that it trained with fits in memory; a larger one of scaled-up images may not.
        size = max(int(self._prm["batch"]), MIN_USUAL_SIDE)
        with torch.no_grad():
            answers = [
                logits_of(self._network(images.to(self._device)), len(images), self._data.classes)
                for images in map(self._transform.for_prediction, torch.tensor(pixels).split(size))
            ]
        return np.concatenate(answers)
