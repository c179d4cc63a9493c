"""Turns a user's own data into the one stream that the server reads: an .npz, or a .zip of image folders."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from deltanas.errors import RequestInvalid

_CHUNK_BYTES = 1024 * 1024
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm"})


@contextmanager
def open_upload(path: Path) -> Iterator[Iterator[bytes]]:
    """Give the stream for a file or a folder. Raises RequestInvalid when it is neither kind."""
    if path.is_dir():
        with tempfile.TemporaryFile(prefix="deltanas-upload-") as packed:
            _pack(path, packed)
            packed.seek(0)
            yield _chunks(packed)
    elif path.is_file() and path.suffix.lower() in {".npz", ".zip"}:
        with path.open("rb") as file:
            yield _chunks(file)
    else:
        raise RequestInvalid(
            f"{path} is neither a folder of images by class nor an .npz or .zip file",
            {"code": "dataset_path_unusable", "field": "path", "value": str(path)},
        )


def _pack(folder: Path, into: IO[bytes]) -> None:
    images = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES and p.is_file())
    if not images:
        raise RequestInvalid(
            f"{folder} has no images; put them in one folder for each class, such as {folder}/cat/1.png",
            {"code": "dataset_path_unusable", "field": "path", "value": str(folder)},
        )
    # Stored, not deflated: images are compressed already.
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for image in images:
            archive.write(image, image.relative_to(folder).as_posix())


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
