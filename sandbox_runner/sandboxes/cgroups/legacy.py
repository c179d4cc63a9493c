"""cgroup v1: one hierarchy for each controller, so a sandbox is a folder in each of them."""

import os
from contextlib import suppress
from pathlib import Path

from sandbox_runner.sandboxes.cgroups import files
from sandbox_runner.sandboxes.cgroups.files import GroupLimits
from sandbox_runner.sandboxes.port import Usage

CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
LARGEST_CHARGE_BYTES = 1024 * 1024
"""The kernel kills when a charge of a few pages no longer fits: so near the limit usage has been then."""


class LegacyGroup:
    """The folders of one sandbox, by controller."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        self._distinct = tuple(dict.fromkeys(folders.values()))
        self.entrances: tuple[Path, ...] = tuple(folder / "cgroup.procs" for folder in self._distinct)

    def limit(self, limits: GroupLimits) -> None:
        """Write the limits. Raises OSError."""
        memory = self._folders["memory"]
        (memory / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
        # Memory plus swap may never be below memory, hence the order. Not every kernel accounts for swap.
        if (memory / "memory.memsw.limit_in_bytes").exists():
            (memory / "memory.memsw.limit_in_bytes").write_text(str(limits.memory_bytes))
        (memory / "memory.swappiness").write_text("0")
        (self._folders["pids"] / "pids.max").write_text(str(limits.pids))
        cpu = self._folders["cpu"]
        (cpu / "cpu.cfs_period_us").write_text(str(files.QUOTA_PERIOD_MICROSECONDS))
        (cpu / "cpu.cfs_quota_us").write_text(str(limits.cores * files.QUOTA_PERIOD_MICROSECONDS))

    def usage(self) -> Usage:
        """Read what the kernel accounted so far. Raises OutOfHostMemory, OutOfHostProcesses."""
        memory = self._folders["memory"]
        kills = files.read_field(memory / "memory.oom_control", "oom_kill")
        return Usage(
            cpu_seconds=files.read_number(self._folders["cpuacct"] / "cpuacct.usage") / 1e9,
            memory_bytes=files.read_sum(memory / "memory.stat", ("total_rss", "total_shmem")),
            memory_limit_hits=files.own_kills(kills, limit_reached=kills > 0 and self._was_full()),
            pids_limit_hits=files.own_refusals(self._folders["pids"]),
        )

    def kill(self) -> bool:
        """End every member; the first strike already ends the pid namespace's first process, hence all."""
        with suppress(FileNotFoundError):
            (self._folders["cpu"] / "cpu.cfs_quota_us").write_text("-1")  # Dying takes CPU time, too.
        return files.kill_members(self._members, lambda: files.signal_members(self._members))

    def remove(self) -> bool:
        """Remove the folders in all hierarchies."""
        return files.remove_folders(reversed(self._distinct))

    def _was_full(self) -> bool:
        """Whether the memory limit was ever reached. The counters of refusals stay at 0 on newer kernels."""
        highest = files.read_number(self._folders["memory"] / "memory.max_usage_in_bytes")
        limit = files.read_number(self._folders["memory"] / "memory.limit_in_bytes")
        return highest > limit - LARGEST_CHARGE_BYTES

    def _members(self) -> set[int]:
        return set().union(*(files.read_members(entrance) for entrance in self.entrances))


class LegacyHierarchy:
    """This runner's folder below `parents[controller]`, for every controller."""

    version = "v1"

    def __init__(self, parents: dict[str, Path]) -> None:
        self._parents = parents
        _sweep(parents)
        self._name, self._lock = files.claim_runner_group(parents["memory"])
        try:
            for parent in self._distinct_parents():
                (parent / self._name).mkdir(exist_ok=True)
        except BaseException:
            self.close()
            raise

    def create(self, name: str, limits: GroupLimits) -> LegacyGroup:
        """A new limited group. Raises OSError, and leaves nothing behind then."""
        group = LegacyGroup({c: parent / self._name / name for c, parent in self._parents.items()})
        made: list[Path] = []
        try:
            for entrance in group.entrances:
                entrance.parent.mkdir()
                made.append(entrance.parent)
            group.limit(limits)
        except OSError:
            files.remove_folders(reversed(made))
            raise
        return group

    def close(self) -> None:
        """Remove the runner's own folders."""
        files.remove_folders(parent / self._name for parent in reversed(self._distinct_parents()))
        with suppress(OSError):
            os.close(self._lock)

    def _distinct_parents(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self._parents.values()))


def _sweep(parents: dict[str, Path]) -> None:
    """Kill and remove what dead runners left behind. The memory folder goes last: it carries the lock."""
    distinct = tuple(dict.fromkeys(parents.values()))
    for abandoned in files.abandoned_runner_groups(parents["memory"]):
        for child in (entry for entry in abandoned.iterdir() if entry.is_dir()):
            LegacyGroup({c: parent / abandoned.name / child.name for c, parent in parents.items()}).kill()
        for parent in reversed(distinct):
            folder = parent / abandoned.name
            if folder.is_dir():
                files.remove_folders([*(entry for entry in folder.iterdir() if entry.is_dir()), folder])
