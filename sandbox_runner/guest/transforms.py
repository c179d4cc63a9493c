"""LEMUR's named transforms (nn-dataset, `ab/nn/transform`), done on batches of bytes.

A transform is a row of steps, each a word with numbers, and a finish. LEMUR applies random steps to its
test images as well; here predictions leave them out, or take their middle, so that a score does not
depend on luck. `five_crop`, which fails in LEMUR too, is left out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torchvision.transforms import v2

from contracts.failures import FailureReason
from sandbox_runner.guest.failures import CandidateFailure
from sandbox_runner.guest.generated_transforms import GENERATED

Apply = Callable[[torch.Tensor], torch.Tensor]

SIDES = ("32", "64", "128", "256", "299", "512")
_FAMILY = re.compile(rf"(?P<finish>norm|echo|complex)(_(?P<side>{'|'.join(SIDES)}))?(?P<flip>_flip)?")
_SINGLE = {
    "center_crop": ("centre 48 | resize 64 64", "norm"),
    "random_horizontal_flip": ("mirror 0.24 | resize 64 64", "norm"),
    "random_vertical_flip": ("tumble 0.22 | resize 64 64", "norm"),
    "bf-v1-Resize_ColorJit_Flip_Blur": (
        "zoom 256 0.8 1 0.9 1.1 | jitter 0.2 0.2 0.2 0.1 | mirror 0.5 | blur 3 0.5 1.5",
        "norm",
    ),
    "soft_pad": ("extend 800", "echo"),
}


class UnknownTransform(CandidateFailure):
    """The hyperparameter `transform` names none of LEMUR's transforms."""

    def __init__(self, name: object) -> None:
        super().__init__(
            FailureReason.BUILD_ERROR,
            f"unknown transform {str(name)[:80]!r}; possible are norm, echo and complex, each alone or with "
            f"_{', _'.join(SIDES)} and _flip (such as norm_64_flip), {', '.join(_SINGLE)}, and bf-v1-…",
        )


@dataclass(frozen=True)
class _Step:
    """What a step does to a batch of bytes (n, C, H, W) in training, and in prediction."""

    train: Apply
    predict: Apply


@dataclass(frozen=True)
class Transform:
    """From bytes (n, C, H, W) to what the network is fed; the size may change."""

    steps: tuple[_Step, ...]
    finish: Apply

    def for_training(self, pixels: torch.Tensor) -> torch.Tensor:
        """With random steps, drawn for each image alone from torch's generator."""
        for step in self.steps:
            pixels = step.train(pixels)
        return self.finish(pixels)

    def for_prediction(self, pixels: torch.Tensor) -> torch.Tensor:
        """Without chance."""
        for step in self.steps:
            pixels = step.predict(pixels)
        return self.finish(pixels)


def transform_named(name: object, channels: int, normalised: Apply) -> Transform:
    """The transform of that name for images with `channels`. Raises UnknownTransform.

    `normalised` turns bytes into floats with mean 0 and deviation 1.
    """
    steps, finish = _definition(name)
    finishes: dict[str, Apply] = {"norm": normalised, "echo": _echo, "complex": _complex}
    rows = [row.split() for row in steps.split(" | ") if row]
    return Transform(tuple(_step(row[0], row[1:], channels) for row in rows), finishes[finish])


def _definition(name: object) -> tuple[str, str]:
    """Steps and finish."""
    if not isinstance(name, str):
        raise UnknownTransform(name)
    if name in _SINGLE:
        return _SINGLE[name]
    generated = GENERATED.get(name.removeprefix("bf-v1-")) if name.startswith("bf-v1-") else None
    if generated is not None:
        return f"{generated} | resize 64 64", "norm"
    found = _FAMILY.fullmatch(name)
    if found is None:
        raise UnknownTransform(name)
    side = found["side"]
    # LEMUR's norm scales the shorter side and cuts the middle out; the others scale both sides.
    size = (f"fit {side}" if found["finish"] == "norm" else f"resize {side} {side}") if side else ""
    mirror = "mirror 0.5" if found["flip"] else ""
    return " | ".join(step for step in (size, mirror) if step), found["finish"]


def _echo(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.to(torch.float32) / 255


def _complex(pixels: torch.Tensor) -> torch.Tensor:
    return _echo(pixels).to(torch.complex64)


def _same(pixels: torch.Tensor) -> torch.Tensor:
    return pixels


def _step(word: str, values: list[str], channels: int) -> _Step:
    if word == "pad":
        return _fixed(_pad(values, channels))
    numbers = [float(value) for value in values]
    if word in _FIXED:
        return _fixed(_FIXED[word](numbers))
    if word in _CHOSEN:
        return _Step(_CHOSEN[word](numbers[0]), _same)
    train, predict = _RANDOM[word](numbers)
    return _Step(_each(train), predict)


def _fixed(apply: Apply) -> _Step:
    return _Step(apply, apply)


def _each(apply: Apply) -> Apply:
    """A random step draws anew for each image."""
    return lambda pixels: torch.stack([apply(image) for image in pixels])


def _chosen(change: Apply, probability: float) -> Apply:
    """A change that happens to each image with some probability, done to the whole batch at once."""

    def apply(pixels: torch.Tensor) -> torch.Tensor:
        chosen = torch.rand(len(pixels)) < probability
        return torch.where(chosen.view(-1, 1, 1, 1), change(pixels), pixels)

    return apply


def _pad(values: list[str], channels: int) -> Apply:
    width, mode = int(values[0]), values[1]
    if mode != "constant":
        return v2.Pad(width, padding_mode=mode)
    colour = [float(value) for value in values[2:]]
    # Grey images take the colour's mean: LEMUR's three values fit colour images alone.
    return v2.Pad(width, colour if channels == 3 else sum(colour) / 3)


def _extend(side: int) -> Apply:
    def apply(pixels: torch.Tensor) -> torch.Tensor:
        right, below = max(0, side - pixels.shape[3]), max(0, side - pixels.shape[2])
        return torch.nn.functional.pad(pixels, (0, right, 0, below))

    return apply


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    return v2.functional.rgb_to_grayscale(pixels, num_output_channels=pixels.shape[1])


def _fit(side: int) -> Apply:
    return v2.Compose([v2.Resize(side, antialias=True), v2.CenterCrop(side)])


Numbers = list[float]

_FIXED: dict[str, Callable[[Numbers], Apply]] = {
    "centre": lambda n: v2.CenterCrop(int(n[0])),
    "resize": lambda n: v2.Resize([int(n[0]), int(n[1])], antialias=True),
    "fit": lambda n: _fit(int(n[0])),
    "extend": lambda n: _extend(int(n[0])),
    "grey": lambda n: v2.Grayscale(int(n[0])),
}

_CHOSEN: dict[str, Callable[[float], Apply]] = {
    "mirror": lambda p: _chosen(lambda pixels: pixels.flip(3), p),
    "tumble": lambda p: _chosen(lambda pixels: pixels.flip(2), p),
    "maybe_grey": lambda p: _chosen(_grey, p),
    "contrast": lambda p: _chosen(v2.functional.autocontrast, p),
    "equalize": lambda p: _chosen(v2.functional.equalize, p),
}

_RANDOM: dict[str, Callable[[Numbers], tuple[Apply, Apply]]] = {
    "crop": lambda n: (v2.RandomCrop(int(n[0])), v2.CenterCrop(int(n[0]))),
    "sharpen": lambda n: (v2.RandomAdjustSharpness(n[0], n[1]), _same),
    "posterize": lambda n: (v2.RandomPosterize(int(n[0]), n[1]), _same),
    "solarize": lambda n: (v2.RandomSolarize(n[0], n[1]), _same),
    "rotate": lambda n: (v2.RandomRotation(n[0]), _same),
    "perspective": lambda n: (v2.RandomPerspective(n[0], n[1]), _same),
    "affine": lambda n: (v2.RandomAffine(n[0], (n[1], n[2]), (n[3], n[4]), (n[5], n[6])), _same),
    "jitter": lambda n: (v2.ColorJitter(*n), _same),
    "blur": lambda n: (
        v2.GaussianBlur(int(n[0]), (n[1], n[2])),
        v2.GaussianBlur(int(n[0]), (n[1] + n[2]) / 2),
    ),
    "zoom": lambda n: (
        v2.RandomResizedCrop(int(n[0]), (n[1], n[2]), (n[3], n[4]), antialias=True),
        _fit(int(n[0])),
    ),
}
