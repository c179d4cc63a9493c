"""Dataset packs, the library of them, and the splits of attempts. Torchvision is for downloads only."""

from sandbox_runner.datasets.errors import (
    DatasetError,
    DatasetInvalid,
    DatasetNotReady,
    DatasetUnavailable,
    DatasetUnknown,
)
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.pack import Pack
from sandbox_runner.datasets.splits import Split, open_split

__all__ = [
    "DatasetError",
    "DatasetInvalid",
    "DatasetNotReady",
    "DatasetUnavailable",
    "DatasetUnknown",
    "Library",
    "Pack",
    "Split",
    "open_split",
]
