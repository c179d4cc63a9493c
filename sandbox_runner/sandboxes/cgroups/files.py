"""What both cgroup versions share: their words, how files are written, members killed, leftovers removed."""

import errno
import fcntl
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandbox_runner.sandboxes.port import SandboxUnavailable, Usage

logger = logging.getLogger(__name__)

RUNNER_PREFIX = "deltanas."
"""A runner's own group is `deltanas.<random>`; its sandboxes are groups inside."""
KILL_SECONDS = 1.0
PEAK_SLACK = 8
"""The kernel notes a peak without a lock: of forks at the same time it may miss the last ones."""
QUOTA_PERIOD_MICROSECONDS = 100_000


class CgroupsUnavailable(Exception):
    """Limits cannot be enforced on this machine. The text says why, and what mends it."""


class OutOfHostMemory(SandboxUnavailable):
    """The host, or a group around the sandbox's, ran out of memory and took a process of the sandbox."""


class OutOfHostProcesses(SandboxUnavailable):
    """A group around the sandbox's holds as many processes as it may."""


@dataclass(frozen=True)
class GroupLimits:
    """Memory (and no swap beyond it), tasks, and CPU cores of one sandbox."""

    memory_bytes: int
    pids: int
    cores: int


class Group(Protocol):
    """The control group of one sandbox."""

    entrances: tuple[Path, ...]
    """A process joins by writing `0` into each."""

    def usage(self) -> Usage:
        """Read what the kernel accounted so far. Raises OutOfHostMemory, OutOfHostProcesses."""
        ...

    def kill(self) -> bool:
        """End every member within a second. True when none is left. Idempotent."""
        ...

    def remove(self) -> bool:
        """Remove the empty group. False when the kernel still holds something in it."""
        ...


class Hierarchy(Protocol):
    """Where this runner keeps the groups of its sandboxes."""

    version: str

    def create(self, name: str, limits: GroupLimits) -> Group:
        """A new limited group. Raises OSError when the kernel refuses."""
        ...

    def close(self) -> None:
        """Remove the runner's own group; its sandboxes are closed by then."""
        ...


def read_number(path: Path) -> int:
    """The number that a one-value file holds."""
    return int(path.read_text())


def read_fields(path: Path) -> dict[str, int]:
    """The numbers in a file of `key value` lines."""
    lines = (line.partition(" ") for line in path.read_text().splitlines())
    return {name: int(value) for name, _, value in lines}


def read_field(path: Path, key: str) -> int:
    """The number behind `key` in a file of `key value` lines; 0 when it has none."""
    return read_fields(path).get(key, 0)


def read_sum(path: Path, keys: Iterable[str]) -> int:
    """The sum of the numbers behind `keys` in a file of `key value` lines."""
    fields = read_fields(path)
    return sum(fields.get(key, 0) for key in keys)


def own_kills(kills: int, limit_reached: bool) -> int:
    """How many processes the group's own memory limit killed, of all that the kernel killed for memory.

    It counts kills by whichever limit, the whole host's included. Where the group's own was never reached the
    platform had promised more memory than there was. Raises OutOfHostMemory.
    """
    if kills and not limit_reached:
        raise OutOfHostMemory(
            "the kernel killed for want of memory on the host, not for the sandbox's own limit; "
            "run fewer sandboxes at a time, or lower limits.memory_bytes"
        )
    return kills


def own_refusals(folder: Path) -> int:
    """How many forks the pids limit of the group at `folder` has refused.

    cgroup v1, and v2 before Linux 6.11, also count there what the limit of a group around it refuses. Where
    the group's own was never reached (`pids.peak`, since Linux 6.1) the platform had promised more processes
    than there were. Raises OutOfHostProcesses.
    """
    refusals, peak = read_field(folder / "pids.events", "max"), folder / "pids.peak"
    if refusals and peak.exists() and read_number(peak) < read_number(folder / "pids.max") - PEAK_SLACK:
        raise OutOfHostProcesses(
            "a fork was refused by a limit around the sandbox, not by the sandbox's own; "
            "raise it (TasksMax= of the runner's service), or run fewer sandboxes at a time"
        )
    return refusals


def read_members(procs_file: Path) -> set[int]:
    """Process ids in a group; none when the group is gone.

    Raises OSError when it cannot be read, for want of a descriptor, say: that is not an empty group.
    """
    try:
        return {int(pid) for pid in procs_file.read_text().split()}
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV}:
            return set()
        raise


def kill_members(members: Callable[[], set[int]], strike: Callable[[], None]) -> bool:
    """Repeat `strike` until `members` is empty, for at most a second."""
    deadline = time.monotonic() + KILL_SECONDS
    pause = 0.001
    while members():
        if time.monotonic() > deadline:
            return False
        strike()
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True


def signal_members(members: Callable[[], set[int]]) -> None:
    """SIGKILL every member, and nobody who inherited the number of one that just ended.

    A number is signalled through a pidfd only if it is still a member *after* the pidfd was opened.
    """
    handles: dict[int, int] = {}
    try:
        for pid in members():
            with suppress(ProcessLookupError):
                handles[pid] = os.pidfd_open(pid)
        for pid in members() & handles.keys():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handles[pid], signal.SIGKILL)
    finally:
        for handle in handles.values():
            os.close(handle)


def remove_folders(folders: Iterable[Path]) -> bool:
    """Remove empty groups; the kernel needs a moment after the last member ended. False when one stays."""
    deadline = time.monotonic() + KILL_SECONDS
    removed = True
    for folder in folders:
        while folder.is_dir():
            try:
                folder.rmdir()
            except OSError as error:
                if time.monotonic() > deadline:
                    logger.warning("cgroup %s could not be removed: %s", folder, error)
                    removed = False
                    break
                time.sleep(0.005)
    return removed


def claim_runner_group(parent: Path) -> tuple[str, int]:
    """Make this runner's own group in `parent` and lock it: its name, and the descriptor that holds the lock.

    The lock ends with the process, however it ends, and tells a living runner's groups from leftovers.
    """
    for _ in range(8):
        folder = parent / f"{RUNNER_PREFIX}{secrets.token_hex(6)}"
        folder.mkdir()
        descriptor = lock_folder(folder)
        # A sweeping neighbour may have taken the group for a leftover before the lock was held.
        if descriptor is not None and folder.is_dir():
            return folder.name, descriptor
        if descriptor is not None:
            os.close(descriptor)
    raise CgroupsUnavailable(f"no cgroup could be kept in {parent}: another process removes them")


def lock_folder(folder: Path) -> int | None:
    """A descriptor that holds the exclusive lock on `folder`, or None when a living process has it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def abandoned_runner_groups(parent: Path) -> Iterable[Path]:
    """Runner groups in `parent` whose runner is gone, one by one."""
    for folder in sorted(parent.glob(f"{RUNNER_PREFIX}*")):
        descriptor = lock_folder(folder)
        if descriptor is not None:
            yield folder
            os.close(descriptor)
