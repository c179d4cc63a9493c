"""Datasets small enough for unit tests, made in the formats that the product reads."""

from pathlib import Path

import numpy as np

from sandbox_runner.datasets.pack import Pack, write_pack
from sandbox_runner.datasets.raw import ImageSet, RawDataset


def numbered_set(per_class: int, classes: int, first: int, side: int = 4, channels: int = 1) -> ImageSet:
    """Images whose first two pixels spell their number, from `first` on, to recognise them by."""
    count = per_class * classes
    images = np.zeros((count, channels, side, side), dtype=np.uint8)
    numbers = np.arange(first, first + count)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers % 256, numbers // 256
    return ImageSet.from_arrays(images, np.arange(count) % classes)


def numbered_dataset(
    train_per_class: int = 40, evaluation_per_class: int = 11, classes: int = 5
) -> RawDataset:
    train = numbered_set(train_per_class, classes, 0)
    evaluation = numbered_set(evaluation_per_class, classes, train_per_class * classes)
    names = tuple(f"class {number}" for number in range(classes))
    return RawDataset((1, 4, 4), names, train, evaluation, "made up")


def numbers_of(images: np.ndarray) -> list[int]:
    """The numbers that numbered_set wrote into images."""
    return [int(image[0, 0, 0]) + 256 * int(image[0, 0, 1]) for image in images]


def numbered_pack(home: Path, **sizes: int) -> Pack:
    return write_pack(home / "datasets" / "numbered", "numbered", numbered_dataset(**sizes))


def blobs(count: int, seed: int, side: int = 8, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Three classes that any network learns: a bright quarter in one of three corners, and noise."""
    source = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = source.integers(0, 90, (count, channels, side, side), dtype=np.uint8)
    half = side // 2
    for label, (top, left) in enumerate([(0, 0), (0, half), (half, 0)]):
        images[labels == label, :, top : top + half, left : left + half] += 150
    return images, labels.astype(np.int64)


def guest_data(folder: Path, count: int = 300, side: int = 8, channels: int = 1) -> dict[str, object]:
    """The `data` entry of a guest's job, with its files."""
    images, labels = blobs(count, seed=1, side=side, channels=channels)
    images.tofile(folder / "images.bin")
    labels.tofile(folder / "labels.bin")
    return {
        "train_images": str(folder / "images.bin"),
        "train_labels": str(folder / "labels.bin"),
        "count": count,
        "shape": [channels, side, side],
        "classes": 3,
        "mean": [0.3] * channels,
        "std": [0.25] * channels,
    }
