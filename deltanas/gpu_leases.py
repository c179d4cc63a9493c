"""Which GPUs of this host an agent may use: found in a child process, each leased through a locked file.

A lease lasts as long as the process that holds it, however that ends. So two agents never use one GPU,
whoever started them. The driver is asked in a child: it may hang, and whoever touched CUDA cannot fork well.
"""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ASK_SECONDS = 60.0
"""For so long a driver may take that nobody has used before."""
LOCK_FOLDER = Path("/run/lock")
"""The same for all users of the host, and writable by all."""

_UUID = re.compile(r"GPU-[0-9a-fA-F-]{8,80}")
_QUESTIONS = (
    ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"),
    (
        sys.executable,
        "-c",
        "import torch\n"
        "for number in range(torch.cuda.device_count()):\n"
        "    print(f'GPU-{torch.cuda.get_device_properties(number).uuid}')",
    ),
)
"""Who is asked: the driver's own program, and where it is not installed, torch."""


class GpusUnavailable(Exception):
    """There are not as many free GPUs as are asked for."""


def gpus_of_this_host(questions: Sequence[Sequence[str]] = _QUESTIONS) -> list[str]:
    """UUIDs of the NVIDIA GPUs that the driver tells of; none where there is no driver."""
    for question in questions:
        with suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(
                question,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ASK_SECONDS,
                check=True,
            )
            return [line.strip() for line in answer.stdout.splitlines() if _UUID.fullmatch(line.strip())]
    return []


@dataclass(frozen=True)
class GpuLeases:
    """GPUs that nobody else's agent uses, until this process ends or closes them."""

    uuids: tuple[str, ...]
    _locks: tuple[int, ...]

    @classmethod
    def take(cls, wanted: int | None, uuids: Sequence[str], folder: Path = LOCK_FOLDER) -> Self:
        """Lease as many of these GPUs, None for all that are free. Raises GpusUnavailable."""
        leased: dict[str, int] = {}
        for uuid in uuids:
            if wanted is not None and len(leased) == wanted:
                break
            lock = _try_to_lock(folder / f"deltanas-{uuid}.lock")
            if lock is not None:
                leased[uuid] = lock
        leases = cls(tuple(leased), tuple(leased.values()))
        if not leased or (wanted is not None and len(leased) < wanted):
            leases.close()
            raise GpusUnavailable(
                f"--gpus {'all' if wanted is None else wanted}: of the {len(uuids)} GPUs of this host "
                f"{len(leased)} are free for this agent; see nvidia-smi, and which other agents run here"
            )
        return leases

    def close(self) -> None:
        """Give them back."""
        for lock in self._locks:
            os.close(lock)


def _try_to_lock(path: Path) -> int | None:
    """The descriptor of a locked file; None when another process has it, or may keep us from it."""
    try:
        descriptor = _open(path)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _open(path: Path) -> int:
    # Without O_CREAT first: in a sticky folder Linux refuses it for a file that is another user's.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return os.open(path, flags)
    with suppress(FileExistsError):
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
    return os.open(path, flags)
