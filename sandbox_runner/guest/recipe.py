"""How plain networks are trained: one recipe for all, so that scores compare architectures and not tricks.

Cross-entropy with label smoothing; AdamW (Loshchilov and Hutter, 2019) or SGD with Nesterov momentum; a
learning rate that warms up, then falls linearly to zero over the whole budget; no weight decay on biases
and normalisations; clipped gradients. Leaves out the network and its predictions (plain).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import torch

from contracts.failures import FailureReason
from sandbox_runner.guest.answers import logits_of
from sandbox_runner.guest.data import TrainingData, flipped, shifted, shuffled_batches, steps_per_epoch
from sandbox_runner.guest.failures import CandidateFailure

WARMUP_SHARE = 0.2
MAX_GRADIENT_NORM = 2.0
STEPS_BETWEEN_CHECKS = 10
OPTIMIZERS = ("adamw", "sgd")
DEFAULT_LR = {"adamw": 6e-3, "sgd": 5e-2}

Value = float | int | str | bool


class HyperparameterInvalid(CandidateFailure):
    """A hyperparameter has an unknown name or a value outside its range."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureReason.BUILD_ERROR, message)


class NonFiniteLoss(CandidateFailure):
    """The training loss became NaN or infinite."""

    def __init__(self, step: int) -> None:
        super().__init__(FailureReason.NON_FINITE, f"the training loss was not finite at step {step}")


@dataclass(frozen=True)
class Hyperparameters:
    """What a request may change about the recipe, and the values it has otherwise."""

    batch: int
    """Images a step."""
    optimizer: str = "adamw"
    lr: float = DEFAULT_LR["adamw"]
    """The highest learning rate."""
    momentum: float = 0.9
    """SGD's momentum, or AdamW's first beta."""
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    shift: int = 0
    """Random shift of training images, in pixels."""
    flip: bool = False
    """Random horizontal mirroring of training images."""


_RANGES: dict[str, tuple[float, float]] = {
    "lr": (1e-6, 10.0),
    "batch": (1, 4096),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.9),
    "shift": (0, 32),
}
_WITHOUT_EFFECT = frozenset({"dropout", "transform"})
"""LEMUR's names that a search may send with every network; a plain network has no use for them."""


def usual_batch(images: int) -> int:
    """Images a step where the request does not say: about 320 steps an epoch, within 32 to 128.

    After one epoch the number of steps decides more than the noise of small batches.
    """
    return min(128, max(32, images // 320))


def read_hyperparameters(given: Mapping[str, Value], images: int) -> Hyperparameters:
    """The recipe for that many training images, with a request's values. Raises HyperparameterInvalid."""
    wanted = {name: value for name, value in given.items() if name not in _WITHOUT_EFFECT}
    known = {field.name: field.type for field in fields(Hyperparameters)}
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise HyperparameterInvalid(f"unknown hyperparameter {unknown[0]!r}; known are {', '.join(known)}")
    optimizer = wanted.get("optimizer", "adamw")
    if optimizer not in OPTIMIZERS:
        raise HyperparameterInvalid(f"optimizer is {optimizer!r}; possible are {', '.join(OPTIMIZERS)}")
    if not isinstance(wanted.get("flip", False), bool):
        raise HyperparameterInvalid(f"flip is {wanted['flip']!r}; it must be true or false")
    numbers = {name: _number(name, wanted[name]) for name in _RANGES if name in wanted}
    return Hyperparameters(
        optimizer=str(optimizer),
        flip=bool(wanted.get("flip", False)),
        **{"lr": DEFAULT_LR[str(optimizer)], "batch": usual_batch(images), **numbers},  # type: ignore[arg-type]
    )


def _number(name: str, value: Value) -> float | int:
    low, high = _RANGES[name]
    whole = isinstance(low, int) and isinstance(high, int)
    right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right_type or not low <= value <= high:  # type: ignore[operator]
        kind = "a whole number" if whole else "a number"
        raise HyperparameterInvalid(f"{name} is {value!r}; it must be {kind} from {low:g} to {high:g}")
    return value  # type: ignore[return-value]


def train(
    network: torch.nn.Module, data: TrainingData, wanted: Hyperparameters, epochs: int, seed: int
) -> float:
    """Train in place; returns the mean loss of the last epoch. Raises NonFiniteLoss.

    The same network, data, seed and number of threads give bit-equal weights on a CPU.
    """
    steps = epochs * steps_per_epoch(len(data), wanted.batch)
    optimizer = _optimizer(network, wanted)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_lr(step, steps))
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=wanted.label_smoothing)
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    network.train()
    step = 0
    mean_loss = float("nan")
    for _ in range(epochs):
        total = torch.zeros((), device=device)
        for images, labels in _batches(data, wanted, generator, device):
            output = network(images)
            if step == 0:
                logits_of(output, len(images), data.classes)
            loss = criterion(output, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            step += 1
            total += loss.detach()
            if step % STEPS_BETWEEN_CHECKS == 0 or step == steps:
                _check_finite(total, step)
        mean_loss = total.item() * epochs / steps
    return mean_loss


def _batches(
    data: TrainingData, wanted: Hyperparameters, generator: torch.Generator, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for indices in shuffled_batches(len(data), wanted.batch, generator):
        pixels = shifted(data.images[indices], wanted.shift, generator)
        if wanted.flip:
            pixels = flipped(pixels, generator)
        yield data.normalised(pixels.to(device)), data.labels[indices].to(device)


def _check_finite(total: torch.Tensor, step: int) -> None:
    # NaN and infinity stay in the sum, so a check now and then misses none and seldom waits for a GPU.
    if not torch.isfinite(total).item():
        raise NonFiniteLoss(step)


def _share_of_lr(step: int, steps: int) -> float:
    """Fraction of the highest learning rate at a step: up in a line, down in a line."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup + 1))


def _optimizer(network: torch.nn.Module, wanted: Hyperparameters) -> torch.optim.Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": wanted.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if wanted.optimizer == "sgd":
        return torch.optim.SGD(groups, wanted.lr, wanted.momentum, nesterov=wanted.momentum > 0)
    return torch.optim.AdamW(groups, wanted.lr, betas=(wanted.momentum, 0.99))
