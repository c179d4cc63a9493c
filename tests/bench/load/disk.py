"""How long the disk takes to keep something: what every durable commit waits for at least."""

import os
import time
from pathlib import Path
from typing import Any

from load.percentiles import summary

BLOCK = bytes(4096)


def measure(folder: Path, times: int) -> dict[str, Any]:
    """Blocks appended and synced one after the other."""
    file = folder / "synced"
    taken = []
    with file.open("wb", buffering=0) as written:
        for _ in range(times):
            begin = time.perf_counter()
            written.write(BLOCK)
            os.fdatasync(written.fileno())
            taken.append(time.perf_counter() - begin)
    file.unlink()
    return summary(taken) | {"per_second": round(times / sum(taken), 1)}
