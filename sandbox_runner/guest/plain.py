"""One plain network, `Net(in_shape, out_shape)`: built, trained by our recipe, asked for predictions."""

import time
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sandbox_runner.guest import recipe
from sandbox_runner.guest.answers import logits_of
from sandbox_runner.guest.data import TrainingData


def build(module: ModuleType, job: dict[str, Any]) -> "Session":
    """Construct the module's `Net` for the job's data.

    Raises HyperparameterInvalid, and what `Net` raises.
    """
    data, wanted = _setting(job)
    network = module.Net(*_arguments(data, wanted))
    network.to(torch.device(job.get("device", "cpu")))
    return Session(network, data, wanted, int(job["epochs"]), int(job["seed"]))


def arguments(_module: ModuleType, job: dict[str, Any]) -> tuple[Any, ...]:
    """What `Net` is called with, in_shape first. Raises HyperparameterInvalid."""
    return _arguments(*_setting(job))


def _setting(job: dict[str, Any]) -> tuple[TrainingData, recipe.Hyperparameters]:
    data = TrainingData.from_description(job["data"])
    return data, recipe.read_hyperparameters(job.get("hyperparameters") or {}, len(data))


def _arguments(data: TrainingData, wanted: recipe.Hyperparameters) -> tuple[Any, ...]:
    return (wanted.batch, *data.shape), (data.classes,)


class Session:
    """A built network between its training and its predictions."""

    def __init__(
        self,
        network: torch.nn.Module,
        data: TrainingData,
        wanted: recipe.Hyperparameters,
        epochs: int,
        seed: int,
    ) -> None:
        self._network = network
        self._data = data
        self._wanted = wanted
        self._epochs = epochs
        self._seed = seed

    def train(self) -> dict[str, float | int]:
        """Train; the claims are seconds, number of parameters and mean loss of the last epoch.

        Raises NonFiniteLoss, CandidateFailure for outputs of a wrong shape, and what the network raises.
        """
        begin = time.perf_counter()
        loss = recipe.train(self._network, self._data, self._wanted, self._epochs, self._seed)
        return {
            "train_seconds": time.perf_counter() - begin,
            "parameters": count_parameters(self._network),
            "train_loss": loss,
        }

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (n, classes) for images (n, C, H, W). Raises CandidateFailure (invalid_result)."""
        self._network.eval()
        with torch.no_grad():
            images = self._data.normalised(torch.tensor(pixels).to(device_of(self._network)))
            return logits_of(self._network(images), len(pixels), self._data.classes)


def device_of(network: torch.nn.Module) -> torch.device:
    """Where the network's parameters are; the CPU when it has none."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def count_parameters(network: torch.nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
