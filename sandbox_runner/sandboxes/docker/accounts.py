"""What the kernel accounts to one container, read from its control groups, which the engine made."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.sandboxes.cgroups import legacy
from sandbox_runner.sandboxes.cgroups.discovery import CgroupMount, read_mounts, read_own_groups
from sandbox_runner.sandboxes.cgroups.files import Group
from sandbox_runner.sandboxes.cgroups.legacy import LegacyGroup
from sandbox_runner.sandboxes.cgroups.unified import UnifiedGroup
from sandbox_runner.sandboxes.docker.memory_watch import (
    LegacyMemoryWatch,
    MemoryWatch,
    UnifiedMemoryWatch,
)
from sandbox_runner.sandboxes.port import SandboxUnavailable


@dataclass(frozen=True)
class Account:
    """Where the kernel accounts for a container."""

    group: Group
    memory: MemoryWatch


def find_account(container: str, pid: int, proc: Path = Path("/proc")) -> Account:
    """The control groups of the container whose first process is `pid`. Raises SandboxUnavailable."""
    try:
        groups = read_own_groups((proc / str(pid) / "cgroup").read_text())
        mounts = read_mounts((proc / "self" / "mountinfo").read_text())
    except OSError as error:
        raise SandboxUnavailable(f"the container's first process cannot be found: {error}") from error
    legacy_mounts = [mount for mount in mounts if "memory" in mount.controllers and not mount.is_unified]
    if legacy_mounts:
        folders = {name: _legacy_folder(container, name, groups, mounts) for name in legacy.CONTROLLERS}
        return Account(LegacyGroup(folders), LegacyMemoryWatch(folders["memory"]))
    folder = _unified_folder(container, groups, mounts)
    return Account(UnifiedGroup(folder), UnifiedMemoryWatch(folder))


def _legacy_folder(
    container: str, controller: str, groups: dict[str, str], mounts: list[CgroupMount]
) -> Path:
    fit = (mount for mount in mounts if controller in mount.controllers and not mount.is_unified)
    return _folder(container, groups.get(controller, "/"), fit)


def _unified_folder(container: str, groups: dict[str, str], mounts: list[CgroupMount]) -> Path:
    return _folder(container, groups.get("", "/"), (mount for mount in mounts if mount.is_unified))


def _folder(container: str, group: str, mounts: Iterable[CgroupMount]) -> Path:
    """Where the group appears, once it is certain that it is this container's. Raises SandboxUnavailable."""
    for mount in mounts:
        folder = mount.folder_of(group)
        if container in folder.name and folder.is_dir():
            return folder
    raise SandboxUnavailable(
        f"the control group {group} of the container is not visible here; run launcher and engine on the "
        "same machine, outside of containers"
    )
