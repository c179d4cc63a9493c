"""cgroup v2: one hierarchy for all controllers, and a rule that a group with controllers has no processes."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from sandbox_runner.sandboxes.cgroups import files
from sandbox_runner.sandboxes.cgroups.files import CgroupsUnavailable, GroupLimits
from sandbox_runner.sandboxes.port import Usage

CONTROLLERS = ("cpu", "memory", "pids")
PROCESSES_LEAF = "deltanas-processes"
"""Where the processes of a delegated group are moved to, so that its controllers can be handed down."""
DELEGATION_REMEDY = (
    "apt-get install dbus-user-session and log in again, or start it in a delegated group: "
    'systemd-run --user --scope -p "Delegate=cpu memory pids" deltanas up '
    "(for a service: Delegate=cpu memory pids in its unit)"
)


class UnifiedGroup:
    """The folder of one sandbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.entrances: tuple[Path, ...] = (folder / "cgroup.procs",)

    def limit(self, limits: GroupLimits) -> None:
        """Write the limits. Raises OSError."""
        (self._folder / "memory.max").write_text(str(limits.memory_bytes))
        for swap in ("memory.swap.max", "memory.zswap.max"):
            if (self._folder / swap).exists():
                (self._folder / swap).write_text("0")
        (self._folder / "pids.max").write_text(str(limits.pids))
        period = files.QUOTA_PERIOD_MICROSECONDS
        (self._folder / "cpu.max").write_text(f"{limits.cores * period} {period}")

    def usage(self) -> Usage:
        """Read what the kernel accounted so far. Raises OutOfHostMemory, OutOfHostProcesses."""
        events = files.read_fields(self._folder / "memory.events")
        return Usage(
            cpu_seconds=files.read_field(self._folder / "cpu.stat", "usage_usec") / 1e6,
            memory_bytes=files.read_sum(self._folder / "memory.stat", ("anon", "shmem")),
            memory_limit_hits=files.own_kills(
                events.get("oom_kill", 0), limit_reached=events.get("oom", 0) > 0
            ),
            pids_limit_hits=files.own_refusals(self._folder),
        )

    def kill(self) -> bool:
        """End every member with `cgroup.kill` (since Linux 5.14), one by one on older kernels."""
        with suppress(FileNotFoundError):
            (self._folder / "cpu.max").write_text("max")  # Dying takes CPU time, too.
        return files.kill_members(self._members, self._strike)

    def remove(self) -> bool:
        """Remove the folder."""
        return files.remove_folders((self._folder,))

    def _strike(self) -> None:
        switch = self._folder / "cgroup.kill"
        if switch.exists():
            with suppress(FileNotFoundError):
                switch.write_text("1")
        else:
            files.signal_members(self._members)

    def _members(self) -> set[int]:
        return files.read_members(self.entrances[0])


class UnifiedHierarchy:
    """This runner's folder in `parent`, a group that the runner may divide."""

    version = "v2"

    def __init__(self, parent: Path) -> None:
        _require_controllers(parent)
        _hand_down_controllers(parent)
        _sweep(parent)
        name, self._lock = files.claim_runner_group(parent)
        self._folder = parent / name
        try:
            _hand_down_controllers(self._folder)
        except BaseException:
            self.close()
            raise

    def create(self, name: str, limits: GroupLimits) -> UnifiedGroup:
        """A new limited group. Raises OSError, and leaves nothing behind then."""
        folder = self._folder / name
        folder.mkdir()
        group = UnifiedGroup(folder)
        try:
            group.limit(limits)
        except OSError:
            group.remove()
            raise
        return group

    def close(self) -> None:
        """Remove the runner's own folder."""
        files.remove_folders((self._folder,))
        with suppress(OSError):
            os.close(self._lock)


def _require_controllers(parent: Path) -> None:
    try:
        present = (parent / "cgroup.controllers").read_text().split()
    except OSError as error:
        raise CgroupsUnavailable(f"{parent} is not a cgroup v2 folder: {error}") from error
    missing = [controller for controller in CONTROLLERS if controller not in present]
    if missing:
        raise CgroupsUnavailable(f"{parent} lacks the controllers {' '.join(missing)}; {DELEGATION_REMEDY}")


def _hand_down_controllers(folder: Path) -> None:
    """Enable the controllers for the children of `folder`, after moving its own processes into a leaf."""
    control = folder / "cgroup.subtree_control"
    wanted = " ".join(f"+{controller}" for controller in CONTROLLERS)
    for _ in range(10):
        if set(CONTROLLERS) <= set(control.read_text().split()):
            return
        try:
            control.write_text(wanted)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise CgroupsUnavailable(f"{control}: {error.strerror}; {DELEGATION_REMEDY}") from error
            _move_processes_into_leaf(folder)
    raise CgroupsUnavailable(f"{folder} keeps getting new processes; {DELEGATION_REMEDY}")


def _move_processes_into_leaf(folder: Path) -> None:
    leaf = folder / PROCESSES_LEAF
    leaf.mkdir(exist_ok=True)
    for pid in files.read_members(folder / "cgroup.procs"):
        # A process may have ended meanwhile, and kernel threads of the root group cannot move.
        with suppress(ProcessLookupError, OSError):
            (leaf / "cgroup.procs").write_text(str(pid))


def _sweep(parent: Path) -> None:
    """Kill and remove what dead runners left behind."""
    for abandoned in files.abandoned_runner_groups(parent):
        children = [entry for entry in abandoned.iterdir() if entry.is_dir()]
        for child in children:
            UnifiedGroup(child).kill()
        files.remove_folders([*children, abandoned])
