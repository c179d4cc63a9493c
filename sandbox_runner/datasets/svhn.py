"""SVHN (cropped digits) from its authors' MATLAB files: X is uint8 (32, 32, 3, n), y is uint8 (n, 1).

Reads just what these files use of MATLAB's level 5 format: numeric arrays of bytes, compressed or not.
The digit 0 is labelled 10 in them.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandbox_runner.datasets.downloads import RemoteFile, fetch
from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.raw import ImageSet, RawDataset

HEADER_BYTES = 128
MAX_ARRAY_BYTES = 2 * 1024**3
MATRIX, COMPRESSED, UINT8 = 14, 15, 2

TRAIN = RemoteFile(
    "train_32x32.mat",
    "e26dedcc434d2e4c54c9b2d4a06d8373",
    ("http://ufldl.stanford.edu/housenumbers/train_32x32.mat",),
)
TEST = RemoteFile(
    "test_32x32.mat",
    "eb5a983be6a315427106f1b164d9cef3",
    ("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
)


def downloaded_svhn(folder: Path) -> RawDataset:
    """SVHN's official training and test sets. Raises DatasetUnavailable, DatasetInvalid, OSError."""
    return RawDataset(
        (3, 32, 32),
        tuple("0123456789"),
        read_svhn(fetch(TRAIN, folder)),
        read_svhn(fetch(TEST, folder)),
        "ufldl.stanford.edu/housenumbers",
        "non-commercial use",
    )


def read_svhn(path: Path) -> ImageSet:
    """One of the .mat files. Raises DatasetInvalid, OSError."""
    try:
        arrays = dict(_arrays(path.read_bytes()[HEADER_BYTES:]))
        images, labels = arrays["X"], arrays["y"].reshape(-1)
    except (struct.error, zlib.error, KeyError, ValueError) as error:
        raise DatasetInvalid(f"{path} is not one of SVHN's .mat files: {error}.") from error
    if images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise DatasetInvalid(f"{path}: X has shape {images.shape} instead of (32, 32, 3, n).")
    return ImageSet.from_arrays(np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels % 10)


def _arrays(content: bytes) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for kind, element in _elements(content):
        if kind == COMPRESSED:
            inflate = zlib.decompressobj()
            yield from _arrays(inflate.decompress(element, MAX_ARRAY_BYTES))
        elif kind == MATRIX:
            yield _array(element)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and data of each element; small ones keep up to 4 bytes within the tag."""
    position = 0
    while position + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, position)
        if kind >> 16:
            kind, size, start, step = kind & 0xFFFF, kind >> 16, position + 4, 8
        else:
            start = position + 8
            step = 8 + size if kind == COMPRESSED else 8 + (size + 7) // 8 * 8
        if start + size > len(content):
            raise ValueError("an element is cut off")
        yield kind, content[start : start + size]
        position += step


def _array(element: bytes) -> tuple[str, NDArray[np.uint8]]:
    """A matrix element holds its flags, dimensions, name and values."""
    parts = list(_elements(element))
    if len(parts) != 4 or parts[3][0] != UINT8:
        raise ValueError("an array does not hold bytes")
    dimensions = struct.unpack(f"<{len(parts[1][1]) // 4}i", parts[1][1])
    values = np.frombuffer(parts[3][1], dtype=np.uint8)
    return parts[2][1].decode("ascii"), values.reshape(dimensions, order="F")
