"""CIFAR-10 and CIFAR-100 from their authors' binary archives: fixed records, no pickles.

A record is the label (CIFAR-100: coarse label, then fine label) and 3 × 32 × 32 pixels, a byte each.
"""

import tarfile
from pathlib import Path

import numpy as np

from sandbox_runner.datasets.downloads import RemoteFile, fetch
from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.raw import ImageSet, RawDataset

SHAPE = (3, 32, 32)
MAX_MEMBER_BYTES = 256 * 1024**2

CIFAR_10 = RemoteFile(
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
CIFAR_100 = RemoteFile(
    "cifar-100-binary.tar.gz",
    "03b5dce01913d631647c71ecec9e9cb8",
    ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
)


def downloaded_cifar_10(folder: Path) -> RawDataset:
    """CIFAR-10. Raises DatasetUnavailable, DatasetInvalid, OSError."""
    return read_cifar_10(fetch(CIFAR_10, folder))


def downloaded_cifar_100(folder: Path) -> RawDataset:
    """CIFAR-100, fine labels. Raises DatasetUnavailable, DatasetInvalid, OSError."""
    return read_cifar_100(fetch(CIFAR_100, folder))


def read_cifar_10(archive: Path) -> RawDataset:
    """The binary archive of CIFAR-10. Raises DatasetInvalid, OSError."""
    batches = [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)]
    test, names = "cifar-10-batches-bin/test_batch.bin", "cifar-10-batches-bin/batches.meta.txt"
    members = _members(archive, [*batches, test, names])
    train = b"".join(members[name] for name in batches)
    return _dataset(archive, train, members[test], members[names], label_bytes=1)


def read_cifar_100(archive: Path) -> RawDataset:
    """The binary archive of CIFAR-100. Raises DatasetInvalid, OSError."""
    train, test, names = (
        f"cifar-100-binary/{name}" for name in ("train.bin", "test.bin", "fine_label_names.txt")
    )
    members = _members(archive, [train, test, names])
    return _dataset(archive, members[train], members[test], members[names], label_bytes=2)


def _members(archive: Path, names: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name in names and member.isfile() and member.size <= MAX_MEMBER_BYTES:
                    content = tar.extractfile(member)
                    found[member.name] = content.read() if content else b""
    except (tarfile.TarError, EOFError) as error:
        raise DatasetInvalid(f"{archive} is damaged: {error}.") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DatasetInvalid(f"{archive} lacks {missing[0]}.")
    return found


def _dataset(archive: Path, train: bytes, test: bytes, names: bytes, label_bytes: int) -> RawDataset:
    class_names = tuple(names.decode("ascii", "replace").split())
    return RawDataset(
        SHAPE,
        class_names,
        _records(archive, train, label_bytes),
        _records(archive, test, label_bytes),
        archive.name,
        "published by Alex Krizhevsky for research",
    )


def _records(archive: Path, content: bytes, label_bytes: int) -> ImageSet:
    size = label_bytes + int(np.prod(SHAPE))
    if not content or len(content) % size:
        raise DatasetInvalid(f"{archive}: {len(content)} bytes are no whole number of {size}-byte records.")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    return ImageSet.from_arrays(records[:, label_bytes:].reshape(-1, *SHAPE), records[:, label_bytes - 1])
