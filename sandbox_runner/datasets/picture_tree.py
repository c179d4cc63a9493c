"""A user's pictures, sorted by class: `<class>/<picture>`, or `train/<class>/…` beside `test/<class>/…`.

The same rules hold for a folder on disk and for a .zip of one. Links, strange paths, unreadable pictures
and files that are no pictures are refused by name; hidden files are passed over.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.picture import MAX_PICTURE_BYTES, SUFFIXES, decode, read_header
from sandbox_runner.datasets.raw import Images, ImageSet, RawDataset
from sandbox_runner.datasets.stratify import Indices, interleaved, shuffled_within_classes
from sandbox_runner.datasets.zip_safety import checked_entries, open_zip

MAX_PICTURES = 500_000
MAX_KEPT_SIDE = 224
COMMON_SIDE = 64
"""Pictures of one size keep it up to MAX_KEPT_SIDE a side; all others become squares of COMMON_SIDE."""
EVALUATION_SHARE = 0.2
_EVALUATION_FOLDERS = ("test", "val", "validation")

Read = Callable[[str], bytes]


def read_folder(folder: Path, name: str) -> RawDataset:
    """Pictures in a folder. Raises DatasetInvalid, OSError."""
    paths = sorted(_walk(folder, PurePosixPath()))
    return _dataset(paths, lambda path: _read_file(folder / path), name, f"folder {folder.name}")


def read_zip(path: Path, name: str) -> RawDataset:
    """Pictures in a .zip, read from where they are and never unpacked. Raises DatasetInvalid, OSError."""
    archive = open_zip(path)
    entries = {entry.filename: entry for entry in checked_entries(archive) if not _is_hidden(entry.filename)}
    outer = _common_folder(list(entries))
    paths = sorted(entry.removeprefix(outer) for entry in entries)

    def read(inner: str) -> bytes:
        try:
            with archive.open(entries[outer + inner]) as file:
                return file.read(MAX_PICTURE_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DatasetInvalid(f"{inner} cannot be read from the .zip: {error}.") from error

    return _dataset(paths, read, name, "uploaded .zip")


def _walk(folder: Path, inside: PurePosixPath) -> Iterator[str]:
    with os.scandir(folder / inside) as entries:
        for entry in entries:
            path = inside / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                raise DatasetInvalid(f"{path} is a link; put the pictures themselves into the folder.")
            if entry.is_dir():
                if len(path.parts) > 2:
                    raise DatasetInvalid(f"{path} lies too deep; write train/<class>/<picture>.")
                yield from _walk(folder, path)
            elif entry.is_file():
                yield str(path)
            else:
                raise DatasetInvalid(f"{path} is neither a folder nor a picture.")


def _read_file(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_PICTURE_BYTES + 1)
    except OSError as error:
        raise DatasetInvalid(f"{path} cannot be read: {error.strerror or error}.") from error


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _common_folder(paths: list[str]) -> str:
    """Zips often hold one outer folder, which is no class: its name with a slash, else nothing."""
    outer = {path.split("/")[0] for path in paths}
    if len(outer) == 1 and all(path.count("/") >= 2 for path in paths):
        return f"{outer.pop()}/"
    return ""


def _dataset(paths: list[str], read: Read, name: str, source: str) -> RawDataset:
    if not 1 <= len(paths) <= MAX_PICTURES:
        raise DatasetInvalid(f"{len(paths)} pictures were found; 1 to {MAX_PICTURES} are possible.")
    wrong = next((path for path in paths if not path.lower().endswith(SUFFIXES)), None)
    if wrong is not None:
        raise DatasetInvalid(f"{wrong} is no picture; possible are {', '.join(SUFFIXES)}.")
    train, evaluation = _parts(paths)
    class_names = tuple(sorted({_class_of(path) for path in train}))
    unknown = sorted({_class_of(path) for path in evaluation} - set(class_names))
    if unknown:
        raise DatasetInvalid(f"class {unknown[0]!r} occurs in the evaluation part only.")
    shape = _common_shape(paths, read)
    train_set = _image_set(train, class_names, shape, read)
    if evaluation:
        evaluation_set = _image_set(evaluation, class_names, shape, read)
    else:
        train_set, evaluation_set = cut_evaluation(train_set, name)
    return RawDataset(shape, class_names, train_set, evaluation_set, source)


def _parts(paths: list[str]) -> tuple[list[str], list[str]]:
    top = {path.split("/")[0] for path in paths}
    second = sorted(top & set(_EVALUATION_FOLDERS))
    if "train" in top and len(top) == 2 and second:
        parts = [[path for path in paths if path.startswith(f"{part}/")] for part in ("train", second[0])]
        depth = 2
    else:
        parts, depth = [paths, []], 1
    stray = next((path for path in paths if path.count("/") != depth), None)
    if stray is not None:
        raise DatasetInvalid(
            f"{stray} does not lie in a class folder; write <class>/<picture>, or train/<class>/<picture> "
            "and test/<class>/<picture>."
        )
    return parts[0], parts[1]


def _class_of(path: str) -> str:
    return path.split("/")[-2]


def _common_shape(paths: list[str], read: Read) -> tuple[int, int, int]:
    headers = {read_header(path, read(path)) for path in paths}
    channels = 1 if all(header.grey for header in headers) else 3
    sizes = {(header.height, header.width) for header in headers}
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        if height <= MAX_KEPT_SIDE and width <= MAX_KEPT_SIDE:
            return channels, height, width
    return channels, COMMON_SIDE, COMMON_SIDE


def _image_set(
    paths: list[str], class_names: tuple[str, ...], shape: tuple[int, int, int], read: Read
) -> ImageSet:
    numbers = {class_name: number for number, class_name in enumerate(class_names)}
    labels = np.array([numbers[_class_of(path)] for path in paths], dtype=np.int64)

    def fetch(indices: Indices) -> Images:
        chosen = (paths[index] for index in indices.tolist())
        return np.stack([decode(path, read(path), shape) for path in chosen])

    return ImageSet(labels, fetch)


def cut_evaluation(everything: ImageSet, name: str) -> tuple[ImageSet, ImageSet]:
    """Cut a fifth of every class off for evaluation; the cut depends on the dataset's name alone."""
    key = name.encode()
    groups = shuffled_within_classes(everything.labels, key, "evaluation part")
    sizes = [max(2, round(EVALUATION_SHARE * len(group))) for group in groups]
    evaluation = np.sort(np.concatenate([group[:size] for group, size in zip(groups, sizes, strict=True)]))
    rest = [group[size:] for group, size in zip(groups, sizes, strict=True)]
    return everything.subset(interleaved(rest, key, "training part")), everything.subset(evaluation)
