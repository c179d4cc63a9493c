"""Fetches one file over HTTPS: bounded, with time-outs, verified, and in place only when it is whole.

A file that was put there by hand counts as fetched if its checksum is right.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable

SECONDS_WITHOUT_DATA = 30.0
MAX_DOWNLOAD_BYTES = 4 * 1024**3
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class RemoteFile:
    """A file that the datasets' authors publish, the places that serve it, and its MD5 checksum (theirs)."""

    name: str
    md5: str
    urls: tuple[str, ...]


def fetch(remote: RemoteFile, folder: Path) -> Path:
    """The file in `folder`, downloaded unless it is there.

    Raises DatasetUnavailable, DatasetInvalid, OSError.
    """
    path = folder / remote.name
    if path.is_file():
        if _md5_of(path) != remote.md5:
            raise DatasetInvalid(f"{path} has not the MD5 checksum {remote.md5}; remove it.")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f".{remote.name}-*"):  # of a killed process: the dataset is locked by now
        leftover.unlink(missing_ok=True)
    problems = []
    for url in remote.urls:
        try:
            _download(url, remote, path)
            return path
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            problems.append(f"{url} could not be downloaded ({reason})")
    raise DatasetUnavailable(
        "; ".join(problems) + ".", f"Download {remote.name} elsewhere and put it into {folder}."
    )


def fetch_all(remotes: Iterable[RemoteFile], folder: Path) -> list[Path]:
    """Several files, in order."""
    return [fetch(remote, folder) for remote in remotes]


def _download(url: str, remote: RemoteFile, path: Path) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f".{remote.name}-", dir=path.parent)
    try:
        digest, size = hashlib.md5(usedforsecurity=False), 0
        request = Request(url, headers={"User-Agent": "deltanas"})  # noqa: S310 - the URLs are constants below
        with os.fdopen(descriptor, "wb") as file, urlopen(request, timeout=SECONDS_WITHOUT_DATA) as answer:  # noqa: S310
            while chunk := answer.read(CHUNK_BYTES):
                size += len(chunk)
                if size > MAX_DOWNLOAD_BYTES:
                    raise ValueError(f"more than {MAX_DOWNLOAD_BYTES} bytes")
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != remote.md5:
            raise ValueError(f"{size} bytes came, with MD5 {digest.hexdigest()} instead of {remote.md5}")
        os.replace(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
