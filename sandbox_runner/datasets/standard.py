"""The standard datasets: what they hold and where their files come from, best source first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.datasets import idx_sources
from sandbox_runner.datasets.raw import RawDataset

DIGITS = tuple("0123456789")
FASHION = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


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
    """One entry of the catalogue."""

    name: str
    sources: tuple[Source, ...]
    by_hand: str
    """What to do where no source can be reached; `{folder}` stands for the folder of its downloads."""

    def remedy(self, downloads: Path) -> str:
        """The same for people, with the folder's path."""
        return self.by_hand.format(folder=downloads)


def _catalogue() -> tuple[StandardDataset, ...]:
    return (
        StandardDataset(
            "fashion-mnist",
            (
                Source(
                    "Debian package dataset-fashion-mnist",
                    lambda _: idx_sources.debian_fashion_mnist(FASHION),
                ),
            ),
            "Install the Debian package dataset-fashion-mnist, or put its four .gz files into {folder}.",
        ),
    )


CATALOGUE = {entry.name: entry for entry in _catalogue()}
