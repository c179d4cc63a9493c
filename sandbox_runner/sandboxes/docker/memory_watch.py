"""Learns that a memory limit was reached although the control group is gone before anybody could read it.

Under gVisor the kernel may end the whole container for memory; the engine then removes its control groups
within milliseconds, and its own word on the matter (OOMKilled) gets lost now and then.
"""

import ctypes
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

IN_MODIFY = 2
CHUNK_BYTES = 65_536
SETTLE_SECONDS = 0.3
"""The kernel tells of a control group's removal a little after it."""

libc = ctypes.CDLL(None, use_errno=True)


class MemoryWatch(Protocol):
    """Watches the memory limit of one container from its start."""

    def was_reached(self) -> bool:
        """Whether the container, which has ended, had met its memory limit at the end."""
        ...

    def close(self) -> None:
        """Free what it holds. Idempotent."""
        ...


class LegacyMemoryWatch:
    """cgroup v1 notifies an eventfd: once for each time out of memory, and once when the group is removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._event: int | None = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with suppress(OSError):  # not ours to write: then the engine's word alone counts
            control = os.open(folder / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                (folder / "cgroup.event_control").write_text(f"{self._event} {control}")
            finally:
                os.close(control)

    def was_reached(self) -> bool:
        """More was told than the removal."""
        self._look()
        if self._folder.exists():
            return self._count > 0
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._count < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
            self._look()
        return self._count > 1

    def close(self) -> None:
        """Free the eventfd. Idempotent."""
        if self._event is not None:
            os.close(self._event)
            self._event = None

    def _look(self) -> None:
        if self._event is not None:
            with suppress(BlockingIOError):
                self._count += os.eventfd_read(self._event)


class UnifiedMemoryWatch:
    """cgroup v2 marks memory.events as modified, which inotify remembers when the file is gone."""

    def __init__(self, folder: Path) -> None:
        self._notices: int | None = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        libc.inotify_add_watch(self._notices, str(folder / "memory.events").encode(), IN_MODIFY)
        self._reached = False

    def was_reached(self) -> bool:
        """The limit was met at least once."""
        if self._notices is not None:
            with suppress(OSError):
                while notices := os.read(self._notices, CHUNK_BYTES):
                    self._reached |= any(mask & IN_MODIFY for mask in _masks(notices))
        return self._reached

    def close(self) -> None:
        """Free the inotify descriptor. Idempotent."""
        if self._notices is not None:
            with suppress(OSError):
                os.close(self._notices)
            self._notices = None


def _masks(notices: bytes) -> list[int]:
    """The event masks in a read of inotify(7): each event is 16 bytes and a name, of which there is none."""
    return [int.from_bytes(notices[at + 4 : at + 8], "little") for at in range(0, len(notices) - 15, 16)]
