"""Reads IDX, the format of MNIST and its descendants: big-endian header, then raw bytes; plain or gzipped."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from sandbox_runner.datasets.errors import DatasetInvalid

UNSIGNED_BYTE = 0x08
MAX_ITEMS = 2**31


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes. Raises DatasetInvalid; OSError when it cannot be opened."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            return _read(cast(IO[bytes], file), path)
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise DatasetInvalid(f"{path} is damaged: {error or type(error).__name__}.") from error


def _read(file: IO[bytes], path: Path) -> NDArray[np.uint8]:
    zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
    if zeros != 0 or kind != UNSIGNED_BYTE or not 1 <= dimensions <= 3:
        raise DatasetInvalid(f"{path} is no IDX file of unsigned bytes.")
    sizes = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
    items = int(np.prod(sizes, dtype=object))
    if items > MAX_ITEMS:
        raise DatasetInvalid(f"{path} claims {items} items; at most {MAX_ITEMS} are read.")
    content = file.read(items + 1)
    if len(content) != items:
        raise DatasetInvalid(
            f"{path} claims {items} items but holds {'more' if len(content) > items else len(content)}."
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(sizes)
