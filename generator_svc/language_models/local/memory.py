"""How much memory there is, and what a process takes of it: from /proc and the control group."""

import os
from collections.abc import Sequence
from pathlib import Path

_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_USED = ("memory.current", "memory/memory.usage_in_bytes")
_STATISTICS = ("memory.stat", "memory/memory.stat")
_CGROUP = Path("/sys/fs/cgroup")
"""Of a container: its own, in version 2 or 1."""


def whole_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes that this machine, or the container around us, has in all."""
    return min([_meminfo("MemTotal"), *_numbers(cgroup, _LIMITS)])


def free_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes that a new process can have now without anybody being swapped out or killed."""
    free = _meminfo("MemAvailable")
    limits, used = _numbers(cgroup, _LIMITS), _numbers(cgroup, _USED)
    if limits and used:
        free = min(free, limits[0] - used[0] + _cached_files(cgroup))
    return max(0, free)


def kernel_kills(cgroup: Path = _CGROUP, statistics: Path = Path("/proc/vmstat")) -> int:
    """How often the kernel has ended a process for want of memory, as far as it says so; only grows."""
    kills = 0
    for path in (statistics, cgroup / "memory.events"):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        kills += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return kills


def _numbers(cgroup: Path, names: Sequence[str]) -> list[int]:
    """The one that there is."""
    for name in names:
        try:
            return [int((cgroup / name).read_text())]
        except (OSError, ValueError):  # not there, or `max`
            continue
    return []


def _cached_files(cgroup: Path) -> int:
    """Bytes that the kernel gives back before it kills anybody."""
    for name in _STATISTICS:
        try:
            lines = (cgroup / name).read_text().splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return 0


def resident_memory(pid: int) -> int:
    """Bytes that a process holds for itself, pages of files not counted; 0 when it is gone."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _meminfo(field: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"/proc/meminfo has no {field}")
