"""Finds the group that this process may divide among sandboxes.

v2: `DELTANAS_CGROUP_ROOT`, else the nearest group that systemd delegated, else (as root) the top of the
visible tree, as container engines do, else a new scope of the user's systemd, else the process's own group
where it may write. v1: the process's own group in every hierarchy, or `DELTANAS_CGROUP_ROOT` below each.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.sandboxes.cgroups import legacy, unified, user_scope
from sandbox_runner.sandboxes.cgroups.files import CgroupsUnavailable, Hierarchy

ROOT_VARIABLE = "DELTANAS_CGROUP_ROOT"


@dataclass(frozen=True)
class CgroupMount:
    """One mounted hierarchy. `root` is which group of the kernel's tree appears at `point`."""

    point: Path
    root: str
    controllers: frozenset[str]
    is_unified: bool

    def folder_of(self, group: str) -> Path:
        """Where `group`, spelled as in /proc/self/cgroup, appears; the mount's top when it is outside."""
        relative = os.path.relpath(group, self.root)
        return self.point if relative.startswith("..") else self.point / relative


def find_hierarchy(environment: Mapping[str, str], proc: Path = Path("/proc/self")) -> Hierarchy:
    """The hierarchy to use, swept of what dead runners left. Raises CgroupsUnavailable."""
    mounts = read_mounts((proc / "mountinfo").read_text())
    own = read_own_groups((proc / "cgroup").read_text())
    override = environment.get(ROOT_VARIABLE, "")
    try:
        for mount in mounts:
            if mount.is_unified and _offers_controllers(mount.point):
                return unified.UnifiedHierarchy(unified_parent(mount, own.get("", "/"), override))
        return legacy.LegacyHierarchy(legacy_parents(mounts, own, override))
    except OSError as error:
        raise CgroupsUnavailable(
            f"{error.filename}: {error.strerror}; {unified.DELEGATION_REMEDY}"
        ) from error


def read_mounts(mountinfo: str) -> list[CgroupMount]:
    """The cgroup mounts in the text of /proc/self/mountinfo (proc(5))."""
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[:3]
        if kind in {"cgroup", "cgroup2"}:
            root, point = before.split(" ")[3:5]
            controllers = frozenset(options.split(","))
            mounts.append(CgroupMount(Path(point), root, controllers, kind == "cgroup2"))
    return mounts


def read_own_groups(cgroup: str) -> dict[str, str]:
    """This process's group by controller, from /proc/self/cgroup; the unified one is under ''."""
    groups = {}
    for line in cgroup.splitlines():
        _, controllers, group = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), group))
    return groups


def unified_parent(mount: CgroupMount, own: str, override: str) -> Path:
    """The v2 group to divide. Raises CgroupsUnavailable."""
    if override:
        return Path(override)
    folder = mount.folder_of(own)
    if folder.name == unified.PROCESSES_LEAF:
        folder = folder.parent  # This process was moved there when the group was first divided.
        if os.access(folder / "cgroup.subtree_control", os.W_OK):
            return folder
    for candidate in (folder, *folder.parents):
        if not candidate.is_relative_to(mount.point):
            break
        # What is delegated to a user's systemd is not for others to divide: that is asked for a scope below.
        if _is_delegated(candidate) and not candidate.name.startswith("user@"):
            return candidate
    if os.geteuid() == 0:
        return mount.point
    try:
        return mount.folder_of(user_scope.enter_scope(unified.CONTROLLERS, _own_unified_group))
    except CgroupsUnavailable as error:
        if os.access(folder, os.W_OK) and os.access(folder / "cgroup.subtree_control", os.W_OK):
            return folder
        raise CgroupsUnavailable(
            f"{folder} is not delegated to this user, and {error}; {unified.DELEGATION_REMEDY}"
        ) from error


def legacy_parents(mounts: list[CgroupMount], own: dict[str, str], override: str) -> dict[str, Path]:
    """The v1 folder to divide, by controller. Raises CgroupsUnavailable."""
    parents = {}
    for controller in legacy.CONTROLLERS:
        for mount in mounts:
            if controller in mount.controllers and not mount.is_unified:
                group = mount.point / override.lstrip("/") if override else mount.folder_of(own[controller])
                parents[controller] = group
                break
        else:
            raise CgroupsUnavailable(
                f"the {controller} cgroup controller is not mounted; boot with cgroup v2 "
                "(systemd.unified_cgroup_hierarchy=1 on the kernel command line)"
            )
        if not os.access(parents[controller], os.W_OK):
            raise CgroupsUnavailable(f"{parents[controller]} is not writable; run as root or use cgroup v2")
    return parents


def _own_unified_group() -> str:
    return read_own_groups(Path("/proc/self/cgroup").read_text()).get("", "/")


def _offers_controllers(point: Path) -> bool:
    """Whether this v2 mount carries controllers; in hybrid set-ups v1 has them all."""
    try:
        return "memory" in (point / "cgroup.controllers").read_text().split()
    except OSError:
        return False


def _is_delegated(folder: Path) -> bool:
    """Whether systemd marked the group as delegated (systemd.resource-control(5), Delegate=)."""
    for attribute in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(folder, attribute) == b"1":
                return True
        except OSError:
            continue
    return False
