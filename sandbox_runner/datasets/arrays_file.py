"""A user's .npz of images and labels. Sizes and types are read and bounded before any value is."""

import shutil
import tempfile
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.picture_tree import cut_evaluation
from sandbox_runner.datasets.raw import Images, ImageSet, RawDataset
from sandbox_runner.datasets.stratify import Labels
from sandbox_runner.datasets.zip_safety import checked_entries, open_zip

SPLIT_NAMES = ("x_train", "y_train", "x_test", "y_test")
WHOLE_NAMES = ("images", "labels")
MAX_ARRAYS_BYTES = 4 * 1024**3
MAX_IMAGES = 10_000_000
MAX_HEADER_CHARACTERS = 4096

Array = NDArray[np.generic]


def is_arrays_file(path: Path) -> bool:
    """Whether a .zip holds arrays rather than pictures. Raises DatasetInvalid, OSError."""
    with open_zip(path) as archive:
        return any(entry.filename.endswith(".npy") for entry in archive.infolist())


def read_arrays_file(path: Path, name: str, scratch: Path) -> RawDataset:
    """Read it. Images are uint8 (n, H, W), (n, H, W, C) or (n, C, H, W).

    They are unpacked to nameless files in the folder `scratch`: a small .npz can hold more than fits into
    memory. Raises DatasetInvalid, OSError.
    """
    arrays = _read_arrays(path, scratch)
    if set(arrays) == set(SPLIT_NAMES):
        parts = [(arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])]
    elif set(arrays) == set(WHOLE_NAMES):
        parts = [(arrays["images"], arrays["labels"])]
    else:
        found = ", ".join(sorted(arrays)[:8]) or "nothing"
        raise DatasetInvalid(
            f"The .npz must hold {', '.join(SPLIT_NAMES)}, or {' and '.join(WHOLE_NAMES)}; it holds {found}."
        )
    images = [_images(part[0]) for part in parts]
    values, labels = _labels([part[1] for part in parts])
    sets = [ImageSet.from_arrays(*pair) for pair in zip(images, labels, strict=True)]
    if len(sets) == 1:
        sets = list(cut_evaluation(sets[0], name))
    elif images[0].shape[1:] != images[1].shape[1:]:
        raise DatasetInvalid("x_train and x_test differ in the shape of their images.")
    shape = cast("tuple[int, int, int]", images[0].shape[1:])
    return RawDataset(shape, tuple(str(value) for value in values), sets[0], sets[1], "uploaded .npz")


def _read_arrays(path: Path, scratch: Path) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    total = 0
    with open_zip(path) as archive:
        for entry in checked_entries(archive):
            if len(arrays) >= len(SPLIT_NAMES) or not entry.filename.endswith(".npy"):
                raise DatasetInvalid(f"{entry.filename!r:.80} in the .npz is not expected.")
            total += entry.file_size
            if total > MAX_ARRAYS_BYTES:
                raise DatasetInvalid(f"The .npz unpacks to more than {MAX_ARRAYS_BYTES} bytes.")
            arrays[entry.filename.removesuffix(".npy")] = _read_array(archive, entry, scratch)
    return arrays


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, scratch: Path) -> Array:
    name = f"{entry.filename!r:.80}"
    try:
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            shape, by_columns, dtype = header[version](file, max_header_size=MAX_HEADER_CHARACTERS)
            start = file.tell()
        if dtype.kind not in "ui":
            raise DatasetInvalid(f"{name} holds {dtype}; images must be uint8 and labels whole numbers.")
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size > entry.file_size:
            raise DatasetInvalid(f"{name} claims {size} bytes but has {entry.file_size}.")
        if len(shape) == 0 or shape[0] > MAX_IMAGES:
            raise DatasetInvalid(f"{name} has shape {shape!s:.80}; at most {MAX_IMAGES} images are possible.")
        with archive.open(entry) as file, tempfile.TemporaryFile(dir=scratch) as unpacked:
            shutil.copyfileobj(file, unpacked)
            unpacked.flush()
            order: Literal["C", "F"] = "F" if by_columns else "C"
            return np.memmap(unpacked, dtype, "r", start, shape, order)
    except (
        ValueError,
        KeyError,
        EOFError,
        SyntaxError,
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DatasetInvalid(f"{name} cannot be read: {error}.") from error


def _images(array: Array) -> Images:
    if array.dtype != np.uint8:
        raise DatasetInvalid(f"Images are {array.dtype}; convert them to uint8, 0 to 255.")
    images = cast(Images, array)
    if images.ndim == 3:
        return images[:, np.newaxis]
    if images.ndim == 4 and images.shape[3] in {1, 3}:
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in {1, 3}:
        return images
    raise DatasetInvalid(f"Images have shape {images.shape}; write (n, H, W), (n, H, W, C) or (n, C, H, W).")


def _labels(arrays: list[Array]) -> tuple[list[int], list[Labels]]:
    """The distinct label values in ascending order, and the labels renumbered from 0."""
    flat = [array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array for array in arrays]
    if any(array.ndim != 1 for array in flat):
        raise DatasetInvalid("Labels must have shape (n,): one whole number for each image.")
    values = np.unique(np.concatenate([array.astype(np.int64) for array in flat]))
    return values.tolist(), [np.searchsorted(values, array.astype(np.int64)) for array in flat]
