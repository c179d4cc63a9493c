"""What lies in safetensors files, read from their headers alone."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator_svc.language_models.json_files import JsonUnreadable, read_object

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 32 * 1024 * 1024
MOST_IN_A_BYTE = 8
"""No format packs more numbers into a byte."""


class WeightsUnreadable(Exception):
    """A file is not safetensors, or there is none."""


class WeightsElsewhere(WeightsUnreadable):
    """Weights are said to be in a file that is no safetensors file of the folder; the message names it."""


@dataclass(frozen=True)
class Tensor:
    """One tensor, unread."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads a model from, in order of their names: one, or those of an index.

    An index may name any path, and pickles. Raises WeightsElsewhere, WeightsUnreadable.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    try:
        shares = read_object(folder / INDEX, MAX_HEADER_BYTES).get("weight_map")
    except JsonUnreadable as error:
        raise WeightsUnreadable(f"there is no {WEIGHTS}, and {error}") from error
    if not isinstance(shares, dict) or not shares:
        raise WeightsUnreadable(f"{INDEX} names no files")
    here = {path.name: path for path in folder.glob("*.safetensors") if path.is_file()}
    named = sorted({str(name) for name in shares.values()})
    for name in named:
        if name not in here:
            raise WeightsElsewhere(name)
    return [here[name] for name in named]


def tensors_in(folder: Path) -> dict[str, Tensor]:
    """All tensors that a model is loaded from. Raises WeightsUnreadable."""
    found: dict[str, Tensor] = {}
    for path in weight_files(folder):
        found.update(read_tensors(path))
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one file. Raises WeightsUnreadable."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > MAX_HEADER_BYTES:
                raise WeightsUnreadable(f"{path.name}: a header of {size} bytes")
            header: dict[str, Any] = json.loads(file.read(size))
        found = {
            name: Tensor(str(entry["dtype"]), tuple(int(length) for length in entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        }
        most = MOST_IN_A_BYTE * path.stat().st_size
    except (OSError, struct.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsUnreadable(f"{path.name}: {error}") from error
    except (OverflowError, RecursionError) as error:
        raise WeightsUnreadable(f"{path.name}: its header is no header") from error
    for name, tensor in found.items():
        if min(tensor.shape, default=0) < 0 or tensor.elements > most:
            raise WeightsUnreadable(f"{path.name}: {name[:80]!r} cannot be of the shape that is told")
    return found
