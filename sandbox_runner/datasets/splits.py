"""Which images one attempt trains on and is scored on (docs/architecture.md, promise 1).

`standard` is the official split. `strict` draws a new one of the same size per class from all images,
keyed, so that nobody without the key knows which images are scored. Within a search the evaluation
images have two fixed halves. The training files are all that may be mounted: evaluation images and
labels are handed out as arrays for the host alone.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.names import Integrity, ScoredOn
from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.pack import (
    EVALUATION_MODE,
    TRAIN_MODE,
    Pack,
    check_part,
    map_images,
    read_labels,
    training_order,
    write_part,
)
from sandbox_runner.datasets.raw import Images, ImageSet
from sandbox_runner.datasets.stratify import Indices, Labels, first_half, shuffled_within_classes
from sandbox_runner.datasets.views import open_view, view_name

IMAGES_FILE, LABELS_FILE = "train_images.bin", "train_labels.bin"


@dataclass(frozen=True)
class Split:
    """One attempt's data. Only `deliver` and `guest_description` let anything reach the sandbox."""

    dataset: str
    train_images_path: Path
    """uint8, (train_count, C, H, W)."""
    train_labels_path: Path
    """int64 little-endian, (train_count,)."""
    train_count: int
    shape: tuple[int, int, int]
    """(C, H, W)."""
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel, of the official training images with pixels in [0, 1]."""
    evaluation_images: Images
    """Memory-mapped uint8, (m, C, H, W)."""
    evaluation_labels: Labels
    """(m,)."""
    selection: NDArray[np.bool_] | None
    """True for the selection half, False for the sealed half; None when all images are scored."""
    content_hash: str
    """Of the pack that the split was drawn from."""

    def deliver(self, folder: Path) -> None:
        """Put the two training files into `folder`, as links where the file system has them, else as copies.

        Raises DatasetUnavailable when the disk refuses.
        """
        for source, name in ((self.train_images_path, IMAGES_FILE), (self.train_labels_path, LABELS_FILE)):
            try:
                _link_or_copy(source, folder / name)
            except OSError as error:
                raise DatasetUnavailable(
                    f"{source} could not be handed to the sandbox: {error.strerror or error}.",
                    "Keep DELTANAS_HOME on one file system with free space; the attempt is then repeated.",
                ) from error

    def guest_description(self, folder: str) -> dict[str, object]:
        """The `data` entry of the guest's JOB: its files in `folder` as seen inside, and what they hold."""
        return {
            "train_images": f"{folder}/{IMAGES_FILE}",
            "train_labels": f"{folder}/{LABELS_FILE}",
            "count": self.train_count,
            "shape": list(self.shape),
            "classes": self.classes,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def open_split(
    pack: Pack, integrity: Integrity, split_key: str, train_images: int | None, scored_on: ScoredOn
) -> Split:
    """Draw (or find) the split of one attempt.

    `split_key`, a secret text, draws the strict split and the halves: the same key, the same split.
    `train_images` takes that many of the split's training images, stratified, the same ones each time.
    Raises DatasetInvalid when there are fewer, DatasetUnavailable when the disk refuses.
    """
    available = pack.description.train_count
    count = available if train_images is None else train_images
    if not 1 <= count <= available:
        raise DatasetInvalid(f"train_images is {count}; {pack.description.name} has 1 to {available}.")
    if integrity == Integrity.STRICT:
        folder = _strict_view(pack, split_key, count)
        evaluation = pack.description.evaluation_count
        images = map_images(folder / "evaluation_images.bin", evaluation, pack.description.shape)
        labels = read_labels(folder / "evaluation_labels.bin", evaluation)
    else:
        folder = pack.folder if count == available else _cut_view(pack, count)
        images, labels = pack.evaluation_images(), pack.evaluation_labels()
    return Split(
        dataset=pack.description.name,
        train_images_path=folder / "train_images.bin",
        train_labels_path=folder / "train_labels.bin",
        train_count=count,
        shape=pack.description.shape,
        classes=pack.classes,
        mean=pack.description.mean,
        std=pack.description.std,
        evaluation_images=images,
        evaluation_labels=labels,
        selection=_selection(labels, split_key, scored_on),
        content_hash=pack.description.content_hash,
    )


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, target)
        target.chmod(TRAIN_MODE)


def _selection(labels: Labels, split_key: str, scored_on: ScoredOn) -> NDArray[np.bool_] | None:
    if scored_on == ScoredOn.ALL:
        return None
    return first_half(labels, split_key.encode(), "selection half")


def _cut_view(pack: Pack, count: int) -> Path:
    """The first `count` training images as files of their own, so that the guest sees no others."""
    training = ImageSet.from_arrays(pack.train_images(), pack.train_labels())

    def write(folder: Path) -> None:
        _write(folder, "train", training.subset(np.arange(count)), TRAIN_MODE)

    def check(folder: Path) -> None:
        check_part(folder, "train", count, pack.description.shape)

    return open_view(pack.folder, view_name("cut", pack.description.content_hash, str(count)), write, check)


def _strict_view(pack: Pack, split_key: str, count: int) -> Path:
    def write(folder: Path) -> None:
        everything = _everything(pack)
        train, evaluation = strict_indices(
            everything.labels, np.bincount(pack.train_labels(), minlength=pack.classes), split_key
        )
        _write(folder, "train", everything.subset(train[:count]), TRAIN_MODE)
        _write(folder, "evaluation", everything.subset(evaluation), EVALUATION_MODE)

    def check(folder: Path) -> None:
        check_part(folder, "train", count, pack.description.shape)
        check_part(folder, "evaluation", pack.description.evaluation_count, pack.description.shape)

    name = view_name("strict", pack.description.content_hash, str(count), split_key)
    return open_view(pack.folder, name, write, check)


def strict_indices(labels: Labels, train_sizes: NDArray[np.int64], split_key: str) -> tuple[Indices, Indices]:
    """Redraw a split of all images: `train_sizes[c]` of class c for training, the others for evaluation.

    The training indices come in a stratified order (each prefix is a fair subset), the evaluation
    indices in ascending order.
    """
    key = split_key.encode()
    groups = shuffled_within_classes(labels, key, "strict split")
    train = np.concatenate([group[: train_sizes[c]] for c, group in enumerate(groups)])
    evaluation = np.sort(np.concatenate([group[train_sizes[c] :] for c, group in enumerate(groups)]))
    return train[training_order(labels[train], key)], evaluation


def _everything(pack: Pack) -> ImageSet:
    """Training and evaluation images behind one another, without copying them."""
    train, evaluation = pack.train_images(), pack.evaluation_images()
    labels = np.concatenate([pack.train_labels(), pack.evaluation_labels()])

    def fetch(indices: Indices) -> Images:
        images = np.empty((len(indices), *pack.description.shape), dtype=np.uint8)
        from_train = indices < len(train)
        images[from_train] = train[indices[from_train]]
        images[~from_train] = evaluation[indices[~from_train] - len(train)]
        return images

    return ImageSet(labels, fetch)


def _write(folder: Path, part: str, images: ImageSet, mode: int) -> None:
    write_part(folder, part, images, mode, hashlib.sha256(), lambda *_: None)
