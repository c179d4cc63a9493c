"""Data on its way into a pack: labels in memory, images fetched in pieces, since not all sets fit there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.stratify import Indices, Labels

Images = NDArray[np.uint8]

MAX_CLASSES = 1000
MAX_SIDE = 1024
MAX_PACK_BYTES = 32 * 1024**3


@dataclass(frozen=True)
class ImageSet:
    """One part of a split. `fetch(indices)` gives uint8 images of shape (k, C, H, W), in that order."""

    labels: Labels
    fetch: Callable[[Indices], Images]

    @classmethod
    def from_arrays(cls, images: Images, labels: NDArray[np.integer]) -> "ImageSet":
        """From images (n, C, H, W) already in memory or memory-mapped."""
        if len(images) != len(labels):
            raise DatasetInvalid(f"{len(images)} images but {len(labels)} labels.")
        return cls(labels.astype(np.int64), lambda indices: images[indices])

    def subset(self, indices: Indices) -> "ImageSet":
        """The images at `indices`, in that order."""
        return ImageSet(self.labels[indices], lambda inner: self.fetch(indices[inner]))


@dataclass(frozen=True)
class RawDataset:
    """A whole dataset before it is packed. `shape` is (C, H, W)."""

    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: ImageSet
    evaluation: ImageSet
    source: str
    licence: str = ""

    def check(self) -> None:
        """Raises DatasetInvalid when sizes, classes or labels cannot make a pack."""
        channels, height, width = self.shape
        if channels not in {1, 3} or not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise DatasetInvalid(
                f"Images of shape {self.shape}: possible are 1 or 3 channels and sides of 1 to {MAX_SIDE}."
            )
        classes = len(self.class_names)
        if not 2 <= classes <= MAX_CLASSES:
            raise DatasetInvalid(f"{classes} classes: 2 to {MAX_CLASSES} are possible.")
        for name, part in (("training", self.train), ("evaluation", self.evaluation)):
            _check_labels(name, part.labels, classes)
        size = channels * height * width * (len(self.train.labels) + len(self.evaluation.labels))
        if size > MAX_PACK_BYTES:
            raise DatasetInvalid(f"The images take {size} bytes; at most {MAX_PACK_BYTES} are possible.")


def _check_labels(name: str, labels: Labels, classes: int) -> None:
    counts = np.bincount(labels, minlength=classes) if len(labels) and labels.min() >= 0 else np.zeros(1)
    if len(counts) != classes:
        raise DatasetInvalid(f"The {name} labels must be 0 to {classes - 1}.")
    if counts.min() < 2:
        least = int(counts.argmin())
        raise DatasetInvalid(f"Class {least} has {int(counts[least])} {name} images; it needs at least 2.")
