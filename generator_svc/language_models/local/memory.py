"""How much memory there is, and what a process takes of it: from /proc and the control group."""

import os
from pathlib import Path

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def whole_memory() -> int:
    """Bytes that this machine, or the container around us, has in all."""
    limits = [_meminfo("MemTotal")]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # not there, or `max`
            continue
    return min(limits)


def free_memory() -> int:
    """Bytes that a new process can have now without anybody being swapped out or killed."""
    return min(_meminfo("MemAvailable"), whole_memory())


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
