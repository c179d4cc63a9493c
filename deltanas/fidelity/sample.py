"""Which recorded networks a study takes: who is left out and why, and a seeded draw. Pure."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

_SIDES = ("32", "64", "128", "256", "299", "512")
_FAMILY = re.compile(rf"(norm|echo|complex)(_(?P<side>{'|'.join(_SIDES)}))?(_flip)?")
_SIDE_OF = {
    "center_crop": 64,
    "random_horizontal_flip": 64,
    "random_vertical_flip": 64,
    "bf-v1-Resize_ColorJit_Flip_Blur": 256,
    "soft_pad": 800,
}
_GENERATED, _GENERATED_SIDE = "bf-v1-", 64


class Exclusion(StrEnum):
    """Why a recorded network is not in the choice."""

    NO_FIRST_EPOCH = "no_first_epoch_accuracy"
    NO_TRANSFORM = "no_transform_recorded"
    UNKNOWN_TRANSFORM = "unknown_transform"
    TOO_LARGE = "transform_too_large"
    SMALL_BATCH = "batch_too_small"
    UNKNOWN_PARAMETERS = "parameters_unknown"
    """It passed no smoke run, which would tell."""
    TOO_MANY_PARAMETERS = "too_many_parameters"


@dataclass(frozen=True)
class Criteria:
    """Which recorded networks are compared."""

    dataset: str
    max_pixels: int
    """The longer side of what a network is fed."""
    min_batch: int = 1
    """Small batches are many steps, and many steps are much time."""
    max_parameters: int | None = None


@dataclass(frozen=True)
class RecordedNetwork:
    """A network that can be compared."""

    name: str
    family: str
    transform: str
    pixels: int
    """The longer side of what it is fed."""
    batch: int | None
    recorded_accuracy: float
    """After one epoch, as a fraction."""
    version: str
    """A digest of source and recorded hyperparameters: another version is another measurement."""


def judged(baseline: Json, criteria: Criteria, image_pixels: int) -> RecordedNetwork | Exclusion:
    """The network of a whole baseline document, or why it is left out.

    `image_pixels` is the longer side of the dataset's images, which some transforms keep.
    """
    result = next((found for found in baseline["results"] if found["dataset"] == criteria.dataset), None)
    if result is None or result["first_epoch_accuracy"] is None:
        return Exclusion.NO_FIRST_EPOCH
    transform = result["hyperparameters"].get("transform")
    if transform is None:
        return Exclusion.NO_TRANSFORM
    pixels = transformed_pixels(str(transform), image_pixels)
    if pixels is None:
        return Exclusion.UNKNOWN_TRANSFORM
    if pixels > criteria.max_pixels:
        return Exclusion.TOO_LARGE
    batch = result["hyperparameters"].get("batch")
    batch = batch if isinstance(batch, int) else None
    if (batch or 1) < criteria.min_batch:
        return Exclusion.SMALL_BATCH
    parameters = baseline["parameters"]
    if criteria.max_parameters is not None and parameters is None:
        return Exclusion.UNKNOWN_PARAMETERS
    if criteria.max_parameters is not None and parameters > criteria.max_parameters:
        return Exclusion.TOO_MANY_PARAMETERS
    return RecordedNetwork(
        name=baseline["name"],
        family=baseline["family"],
        transform=str(transform),
        pixels=pixels,
        batch=batch,
        recorded_accuracy=result["first_epoch_accuracy"],
        version=digest([baseline["source"], result["hyperparameters"]]),
    )


def transformed_pixels(transform: str, image_pixels: int) -> int | None:
    """The longer side of an image after one of LEMUR's named transforms; None for a name that tells nothing.

    The guest does the transforms; a test holds these sizes to what it really makes.
    """
    if transform in _SIDE_OF:
        return max(_SIDE_OF[transform], image_pixels if transform == "soft_pad" else 0)
    if transform.startswith(_GENERATED):
        return _GENERATED_SIDE
    found = _FAMILY.fullmatch(transform)
    if found is None:
        return None
    return int(found["side"]) if found["side"] else image_pixels


def drawn(networks: Iterable[RecordedNetwork], count: int, seed: int) -> list[RecordedNetwork]:
    """`count` of them at random, or all: the same for a seed, and the first ones of every larger draw."""
    return sorted(networks, key=lambda network: (digest([seed, network.name]), network.name))[:count]


def digest(content: Any) -> str:
    """SHA-256 of something as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
