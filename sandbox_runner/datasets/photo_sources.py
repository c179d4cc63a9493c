"""Imagenette and CelebA from their authors' archives, decoded one by one while the pack is written."""

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sandbox_runner.datasets.downloads import RemoteFile, fetch, fetch_all
from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.picture import MAX_PICTURE_BYTES, decode
from sandbox_runner.datasets.raw import Images, ImageSet, RawDataset
from sandbox_runner.datasets.stratify import Indices

IMAGENETTE_SHAPE = (3, 160, 160)
"""The archive's pictures have a shorter side of 160; the middle square of each is kept."""
IMAGENETTE = RemoteFile(
    "imagenette2-160.tgz",
    "e793b78cc4c9e9a4ccc0c1155377a412",
    ("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",),
)
IMAGENETTE_CLASSES = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player",
    "n03000684": "chain saw", "n03028079": "church", "n03394916": "French horn",
    "n03417042": "garbage truck", "n03425413": "gas pump", "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip
MAX_ARCHIVE_BYTES = 1024**3

CELEBA_SHAPE = (3, 64, 64)
"""178 × 218 pixels scaled to a width of 64; the middle square is kept."""
_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
CELEBA = tuple(
    RemoteFile(name, md5, (_DRIVE + drive_id,))
    for name, md5, drive_id in (
        ("img_align_celeba.zip", "00d2c5bc6d35e252742224ab0c1e8fcb", "0B7EVK8r0v71pZjFTYXZWM3FlRnM"),
        ("list_attr_celeba.txt", "75e246fa4810816ffd6ee81facbd244c", "0B7EVK8r0v71pblRyaVFSWGxPY0U"),
        ("list_eval_partition.txt", "d32c9cbf5e040fd4025c592c306e6668", "0B7EVK8r0v71pY0NSMzRuSXJEVkk"),
    )
)
TRAIN_PARTITION, TEST_PARTITION = "0", "2"


def downloaded_imagenette(folder: Path) -> RawDataset:
    """Imagenette at 160 pixels. Raises DatasetUnavailable, DatasetInvalid, OSError."""
    return read_imagenette(fetch(IMAGENETTE, folder))


def read_imagenette(archive: Path) -> RawDataset:
    """The archive: `<root>/train/<class>/<picture>` and `<root>/val/…`. Raises DatasetInvalid, OSError."""
    pictures: dict[str, list[tuple[str, bytes]]] = {"train": [], "val": []}
    size = 0
    for name, content in _tar_files(archive):
        parts = name.split("/")
        size += len(content)
        if size > MAX_ARCHIVE_BYTES:
            raise DatasetInvalid(f"{archive} unpacks to more than {MAX_ARCHIVE_BYTES} bytes.")
        if len(parts) == 4 and parts[1] in pictures and parts[2] in IMAGENETTE_CLASSES:
            pictures[parts[1]].append((name, content))
    return RawDataset(
        IMAGENETTE_SHAPE,
        tuple(IMAGENETTE_CLASSES.values()),
        _imagenette_part(sorted(pictures["train"])),
        _imagenette_part(sorted(pictures["val"])),
        archive.name,
        "Apache-2.0, fast.ai; the pictures belong to ImageNet's contributors",
    )


def _tar_files(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.size <= MAX_PICTURE_BYTES:
                    content = tar.extractfile(member)
                    yield member.name, content.read() if content else b""
    except (tarfile.TarError, EOFError) as error:
        raise DatasetInvalid(f"{archive} is damaged: {error}.") from error


def _imagenette_part(pictures: list[tuple[str, bytes]]) -> ImageSet:
    numbers = {wordnet: number for number, wordnet in enumerate(IMAGENETTE_CLASSES)}
    labels = np.array([numbers[name.split("/")[2]] for name, _ in pictures], dtype=np.int64)
    return ImageSet(labels, _decoder(lambda index: pictures[index], IMAGENETTE_SHAPE))


def downloaded_celeba_gender(folder: Path) -> RawDataset:
    """CelebA with its attribute Male. Raises DatasetUnavailable, DatasetInvalid, OSError."""
    fetch_all(CELEBA, folder)
    return read_celeba_gender(folder)


def read_celeba_gender(folder: Path) -> RawDataset:
    """The aligned pictures, the attributes and the official partition. Raises DatasetInvalid, OSError."""
    male = _attribute(folder / "list_attr_celeba.txt", "Male")
    partition = dict(_rows(folder / "list_eval_partition.txt"))
    try:
        archive = zipfile.ZipFile(folder / "img_align_celeba.zip")
    except zipfile.BadZipFile as error:
        raise DatasetInvalid(f"{folder}/img_align_celeba.zip is damaged: {error}.") from error

    def part(number: str) -> ImageSet:
        names = [name for name in sorted(male) if partition.get(name) == number]
        labels = np.array([male[name] for name in names], dtype=np.int64)
        return ImageSet(
            labels, _decoder(lambda index: (names[index], _zipped(archive, names[index])), CELEBA_SHAPE)
        )

    return RawDataset(
        CELEBA_SHAPE,
        ("female", "male"),
        part(TRAIN_PARTITION),
        part(TEST_PARTITION),
        "CelebA, aligned and cropped",
        "non-commercial research, MMLAB, The Chinese University of Hong Kong",
    )


def _zipped(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(f"img_align_celeba/{name}") as file:
            return file.read(MAX_PICTURE_BYTES + 1)
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise DatasetInvalid(f"img_align_celeba.zip: {name} cannot be read: {error}.") from error


def _rows(path: Path) -> list[tuple[str, str]]:
    pairs = [line.split(maxsplit=1) for line in path.read_text("ascii", "replace").splitlines()]
    return [(pair[0], pair[1].strip()) for pair in pairs if len(pair) == 2]


def _attribute(path: Path, attribute: str) -> dict[str, int]:
    """The first line counts, the second names the attributes, the others hold a name and -1 or 1 each."""
    lines = path.read_text("ascii", "replace").splitlines()
    try:
        column = lines[1].split().index(attribute)
        rows = [line.split() for line in lines[2:] if line.strip()]
        return {row[0]: int(row[1 + column] == "1") for row in rows}
    except (IndexError, ValueError) as error:
        raise DatasetInvalid(f"{path} is no list of CelebA's attributes: {error}.") from error


def _decoder(
    picture: Callable[[int], tuple[str, bytes]], shape: tuple[int, int, int]
) -> Callable[[Indices], Images]:
    def fetch(indices: Indices) -> Images:
        return np.stack([decode(*picture(index), shape) for index in indices.tolist()])

    return fetch
