"""What lies in safetensors files, read from their headers alone."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 32 * 1024 * 1024
MOST_IN_A_BYTE = 8
"""No format packs more numbers into a byte."""


class WeightsUnreadable(Exception):
    """A file is not safetensors."""


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
    """The safetensors files of a folder, in order of their names."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def tensors_in(folder: Path) -> dict[str, Tensor]:
    """All tensors of all safetensors files of a folder. Raises WeightsUnreadable."""
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
