"""The pack: a dataset as memory-mapped files, made once, whole or not at all (docs/user-guide.md).

    <folder>/pack.json               everything below in words and numbers
    <folder>/train_images.bin        uint8, (n, C, H, W), C order
    <folder>/train_labels.bin        int64 little-endian
    <folder>/evaluation_images.bin   the same for the evaluation split; readable by the owner alone
    <folder>/evaluation_labels.bin

Training images lie in a fixed stratified order, so that the first N are a fair subset for every N.
Leaves out where data come from (sources) and how they are split again (splits).
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from contracts.jobs import DatasetReport
from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.raw import Images, ImageSet, RawDataset
from sandbox_runner.datasets.stratify import Labels, interleaved, shuffled_within_classes

PACK_FORMAT = 1
CHUNK_IMAGES = 512
TRAIN_MODE = 0o444  # no sandbox that sees them may empty them, whatever its mount lets through
EVALUATION_MODE = 0o600
FOLDER_MODE = 0o700  # sandboxes get the training files themselves; nobody else on the host passes

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many of it are done, and how many there are."""


@dataclass(frozen=True)
class PackDescription:
    """What pack.json holds. `shape` is (C, H, W); `mean` and `std` are per channel, of pixels in [0, 1]."""

    format: int
    name: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_count: int
    evaluation_count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    content_hash: str
    """SHA-256 over the four binary files, hex."""
    source: str
    licence: str


@dataclass(frozen=True)
class Pack:
    """A prepared dataset on disk."""

    folder: Path
    description: PackDescription

    @property
    def classes(self) -> int:
        """Number of classes; labels are 0 to classes - 1."""
        return len(self.description.class_names)

    @property
    def train_images_path(self) -> Path:
        """Raw training images."""
        return self.folder / "train_images.bin"

    @property
    def train_labels_path(self) -> Path:
        """Raw training labels."""
        return self.folder / "train_labels.bin"

    def train_images(self) -> Images:
        """Memory-mapped, (n, C, H, W)."""
        return map_images(self.train_images_path, self.description.train_count, self.description.shape)

    def train_labels(self) -> Labels:
        """In memory, (n,)."""
        return read_labels(self.train_labels_path, self.description.train_count)

    def evaluation_images(self) -> Images:
        """Memory-mapped, (n, C, H, W)."""
        path = self.folder / "evaluation_images.bin"
        return map_images(path, self.description.evaluation_count, self.description.shape)

    def evaluation_labels(self) -> Labels:
        """In memory, (n,)."""
        return read_labels(self.folder / "evaluation_labels.bin", self.description.evaluation_count)

    def report(self) -> DatasetReport:
        """The pack in the words that services exchange."""
        known = self.description
        return DatasetReport(
            name=known.name,
            ready=True,
            input_shape=known.shape,
            classes=self.classes,
            train_images=known.train_count,
            evaluation_images=known.evaluation_count,
            content_hash=known.content_hash,
            source=known.source,
        )


def open_pack(folder: Path) -> Pack:
    """Open a prepared pack; sizes are checked against pack.json. Raises DatasetInvalid."""
    try:
        fields = json.loads((folder / "pack.json").read_text())
        description = _description_from(fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetInvalid(
            f"{folder}/pack.json cannot be read ({error}); prepare the dataset again."
        ) from error
    check_part(folder, "train", description.train_count, description.shape)
    check_part(folder, "evaluation", description.evaluation_count, description.shape)
    return Pack(folder, description)


def _description_from(fields: dict[str, Any]) -> PackDescription:
    if fields["format"] != PACK_FORMAT:
        raise ValueError(f"pack format {fields['format']} instead of {PACK_FORMAT}")
    listed = {name: tuple(fields[name]) for name in ("shape", "class_names", "mean", "std")}
    return PackDescription(**{**fields, **listed})


def check_part(folder: Path, part: str, count: int, shape: tuple[int, int, int]) -> None:
    """Raises DatasetInvalid when a split's two files are not those of `count` images."""
    check_size(folder / f"{part}_images.bin", count * int(np.prod(shape)))
    check_size(folder / f"{part}_labels.bin", count * 8)


def check_size(path: Path, size: int) -> None:
    """Raises DatasetInvalid when a file is missing or not exactly `size` bytes long."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DatasetInvalid(f"{path} is missing; prepare the dataset again.") from error
    if found != size:
        raise DatasetInvalid(f"{path} has {found} bytes instead of {size}; prepare the dataset again.")


def map_images(path: Path, count: int, shape: tuple[int, int, int]) -> Images:
    """Raw images as a read-only memory map (count, C, H, W)."""
    return np.memmap(path, dtype=np.uint8, mode="r", shape=(count, *shape))


def read_labels(path: Path, count: int) -> Labels:
    """Raw labels as an array (count,)."""
    return np.fromfile(path, dtype="<i8", count=count).astype(np.int64)


def write_pack(folder: Path, name: str, raw: RawDataset, progress: Progress | None = None) -> Pack:
    """Write `raw` as the pack `folder`, which appears at once and whole, or not at all.

    Raises DatasetInvalid for data that make no pack, DatasetUnavailable when the disk refuses.
    """
    raw.check()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder.parent))
        try:
            _write_files(draft, name, raw, progress or (lambda *_: None))
            draft.chmod(FOLDER_MODE)
            _replace(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise DatasetUnavailable(
            f"The pack of {name} could not be written to {folder}: {error.strerror or error}.",
            "Free some disk space or choose another DELTANAS_HOME, then prepare the dataset again.",
        ) from error
    return open_pack(folder)


def _write_files(draft: Path, name: str, raw: RawDataset, progress: Progress) -> None:
    order = training_order(raw.train.labels, name.encode())
    digest = hashlib.sha256()
    mean, std = write_part(draft, "train", raw.train.subset(order), TRAIN_MODE, digest, progress)
    write_part(draft, "evaluation", raw.evaluation, EVALUATION_MODE, digest, progress)
    description = PackDescription(
        format=PACK_FORMAT,
        name=name,
        shape=raw.shape,
        class_names=raw.class_names,
        train_count=len(raw.train.labels),
        evaluation_count=len(raw.evaluation.labels),
        mean=mean,
        std=std,
        content_hash=digest.hexdigest(),
        source=raw.source,
        licence=raw.licence,
    )
    with (draft / "pack.json").open("w") as file:
        json.dump(asdict(description), file, indent=2)
        _to_disk(file)


def training_order(labels: Labels, key: bytes) -> np.ndarray:
    """A stratified order of a training split: each prefix holds every class in proportion."""
    return interleaved(shuffled_within_classes(labels, key, "training order"), key, "training interleave")


def write_part(
    folder: Path, part: str, images: ImageSet, mode: int, digest: "hashlib._Hash", progress: Progress
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Write one split's two files, feed them to `digest`, and return mean and std per channel."""
    count = len(images.labels)
    totals, squares, pixels = np.zeros(1), np.zeros(1), 0
    with (folder / f"{part}_images.bin").open("wb") as file:
        os.fchmod(file.fileno(), mode)
        for start in range(0, count, CHUNK_IMAGES):
            chunk = np.ascontiguousarray(images.fetch(np.arange(start, min(start + CHUNK_IMAGES, count))))
            digest.update(chunk.data)
            file.write(chunk.data)
            # Sums of bytes are whole numbers: mean and std do not depend on the size of the chunks.
            wide = chunk.astype(np.uint64)
            totals = totals + wide.sum(axis=(0, 2, 3))
            squares = squares + (wide * wide).sum(axis=(0, 2, 3))
            pixels += chunk[:, 0].size
            progress(f"{part} images", start + len(chunk), count)
        _to_disk(file)
    labels = images.labels.astype("<i8")
    with (folder / f"{part}_labels.bin").open("wb") as file:
        os.fchmod(file.fileno(), mode)
        digest.update(labels.data)
        file.write(labels.data)
        _to_disk(file)
    mean = totals / pixels / 255
    std = np.sqrt(np.maximum(squares / pixels / 255**2 - mean**2, 1e-6))
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _replace(draft: Path, folder: Path) -> None:
    """Put the finished draft in place; an older pack is moved aside first, then removed."""
    if folder.exists():
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        folder.rename(aside)
        draft.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        draft.rename(folder)
    with contextlib.suppress(OSError):
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
