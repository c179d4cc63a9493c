"""The whole specification of one container, as the Docker Engine API takes it. Pure: opens and asks nothing.

Everything a container gets stands here; of the runner's request only its numbers come in. What Docker would
add by itself (an unsized /dev/shm, terminals, message queues, sysfs, the cgroup file systems) is replaced.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from contracts.measurements import MIB
from sandbox_runner import python_environment
from sandbox_runner.sandboxes import platform_code
from sandbox_runner.sandboxes.bubblewrap import (
    CPU_FOLDER,
    HIDDEN_PROC_FILES,
    HIDDEN_PROC_FOLDERS,
    SMALL_TMPFS_BYTES,
    SYSTEM_LINKS,
    reach,
)
from sandbox_runner.sandboxes.docker import privileges, process_one
from sandbox_runner.sandboxes.docker.guest_image import KEEPER_USER, GuestImage
from sandbox_runner.sandboxes.docker.wire import Runtime, Start
from sandbox_runner.sandboxes.first_process import tmpfs_bounds
from sandbox_runner.sandboxes.port import DATA_INSIDE, ReadOnlyMount

OWNER_LABEL = "deltanas.owner"
NAME_LABEL = "deltanas.sandbox"

BOOT = (
    f"import sys; sys.path.insert(0, {platform_code.SOURCE_INSIDE!r}); "
    "from sandbox_runner.sandboxes.docker.process_one import main; main()"
)
IMAGE_INTERPRETER = "/usr/bin/python3"
"""Where a complete guest image has its Python."""

PLATFORM_MEMORY_BYTES = {Runtime.RUNC: 24 * MIB, Runtime.RUNSC: 96 * MIB}
"""What process 1 (10 MiB) and, under runsc, the user-space kernel may hold beside the guest: 20 MiB idle, and
some megabytes on the host for each process of the guest."""
CPU_PERIOD_MICROSECONDS = 100_000
PLATFORM_PIDS = 1
RUNSC_PIDS = 4096
"""The user-space kernel's own threads count on the host; the guest's tasks are limited inside."""
LIFETIME_MARGIN_SECONDS = 3600.0
"""How long a container may wait for its work beyond its wall limit, even if nobody is left to end it."""
EMPTIED_FOLDERS = ("/sys", "/sys/fs/cgroup", "/dev/pts", "/dev/mqueue")
EMULATED_DEVICES = ("fuse", "ptmx")
CPU_LISTS = ("possible", "present", "online")


@dataclass(frozen=True)
class Identity:
    """What tells one container from all others."""

    owner: str
    """Who may sweep it away."""
    user: int
    """Whom the guest runs as."""
    data: Path
    cover: Path
    """An empty file that nobody may open."""


def create_request(start: Start, image: GuestImage, identity: Identity, profile: str) -> dict[str, Any]:
    """The body of `POST /containers/create`. `profile` is the system-call filter as JSON."""
    return {
        "Image": image.identifier,
        # Process 1 alone, until it has made itself and the guest two other users: see `privileges`.
        "User": "0:0",
        "Hostname": "sandbox",
        "WorkingDir": "/",
        "Env": [],
        "Entrypoint": [interpreter(image), "-I", "-S", "-c", BOOT],
        "Cmd": [],
        "Labels": {OWNER_LABEL: identity.owner, NAME_LABEL: start.name},
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": {
            **_walls(start, profile),
            **_limits(start),
            **_files(start, image, identity),
            "LogConfig": {"Type": "none", "Config": {}},
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
            "Init": False,
            # Set as root, so that it is also the least that anybody inside can choose. Guests take 1000.
            "OomScoreAdj": 500,
            "DeviceRequests": _devices(start.device),
        },
    }


def setup(start: Start, image: GuestImage, identity: Identity, program: bytes) -> dict[str, Any]:
    """What process 1 is told. The guest may learn it: nothing in it is secret."""
    argv = list(start.argv)
    if argv[0] == python_environment.interpreter():
        argv[0] = interpreter(image)
    return {
        "argv": argv,
        "environment": dict(start.environment),
        "guest_user": identity.user,
        "keeper": KEEPER_USER,
        "reach": _reach(start, image),
        "filter": program.hex(),
        "lifetime_seconds": start.wall_seconds + LIFETIME_MARGIN_SECONDS,
        # Under runsc nothing on the host counts forks that were refused.
        "task_limit": start.pids + PLATFORM_PIDS if start.runtime is Runtime.RUNSC else None,
    }


def _reach(start: Start, image: GuestImage) -> dict[str, list[str]]:
    """What the guest may use of what it sees, as `landlock.restrict` wants it: as on `namespaces`."""
    granted = reach()
    if image.is_complete:
        granted["execute"] = ["/usr", *(f"/{name}" for name in SYSTEM_LINKS)]
    if start.device is not None:
        granted["controlled_devices"] = ["/dev"]  # how many a GPU has, and their names, the driver knows
    return granted


def interpreter(image: GuestImage) -> str:
    """Where the guest's Python is, inside."""
    return IMAGE_INTERPRETER if image.is_complete else python_environment.interpreter()


def memory_bytes(start: Start) -> int:
    """The container's memory limit: what was asked for and what the platform's own part may hold."""
    return start.memory_bytes + PLATFORM_MEMORY_BYTES[start.runtime]


def _walls(start: Start, profile: str) -> dict[str, Any]:
    return {
        "Runtime": start.runtime.value,
        "NetworkMode": "none",
        "IpcMode": "none",
        "PidMode": "",
        "UTSMode": "",
        "CgroupnsMode": "private",
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": list(privileges.STARTING_CAPABILITIES),
        "SecurityOpt": ["no-new-privileges", f"seccomp={profile}"],
        "ReadonlyRootfs": True,
        "MaskedPaths": [f"/proc/{name}" for name in (*HIDDEN_PROC_FILES, *HIDDEN_PROC_FOLDERS)],
        "ReadonlyPaths": ["/proc/sys"],
    }


def _limits(start: Start) -> dict[str, Any]:
    memory = memory_bytes(start)
    is_runsc = start.runtime is Runtime.RUNSC
    tasks = start.pids + PLATFORM_PIDS
    return {
        "Memory": memory,
        "MemorySwap": memory,
        "MemorySwappiness": 0,
        "CpuPeriod": CPU_PERIOD_MICROSECONDS,
        "CpuQuota": start.threads * CPU_PERIOD_MICROSECONDS,
        "PidsLimit": RUNSC_PIDS if is_runsc else tasks,
        "Ulimits": [
            # Not 0 for core: then a crash still starts the host's core handler where core_pattern is a pipe.
            # A limit of 1 byte alone keeps the kernel from that (core(5) and fs/coredump.c).
            _ulimit("core", 1),
            _ulimit("fsize", start.disk_bytes),
            _ulimit("nofile", 1024),
            _ulimit("msgqueue", 0),
            _ulimit("memlock", 8 * MIB),
            _ulimit("sigpending", 1024),
            # On the host the limit would count the user's tasks, which `PidsLimit` does better. gVisor counts
            # the guest's own first task to root, who it was when it was made.
            *([_ulimit("nproc", start.pids - 1)] if is_runsc else []),
        ],
    }


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}


def _files(start: Start, image: GuestImage, identity: Identity) -> dict[str, Any]:
    writable = _tmpfs("rw", "exec", "mode=1777", tmpfs_bounds(start.disk_bytes))
    sealed = _tmpfs("ro", "noexec", "mode=0555", f"size={SMALL_TMPFS_BYTES}")
    hidden = [] if image.is_complete else python_environment.hidden_folders()
    emptied = [*EMPTIED_FOLDERS, *map(str, hidden)]
    if start.runtime is Runtime.RUNSC:
        emptied.append("/dev/net")
    return {
        "Tmpfs": {"/tmp": writable, "/dev/shm": writable, **dict.fromkeys(emptied, sealed)},  # noqa: S108
        "Mounts": [
            {
                "Type": "bind",
                "Source": str(mount.host),
                "Target": mount.inside,
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
            }
            for mount in (
                *_code(image),
                *_platform_files(),
                *_covered_devices(start.runtime, identity.cover),
                ReadOnlyMount(identity.data, DATA_INSIDE),
            )
        ],
    }


def _tmpfs(*options: str) -> str:
    return ",".join(("nosuid", "nodev", *options))


def _code(image: GuestImage) -> tuple[ReadOnlyMount, ...]:
    """Interpreter, packages and sources of the guest, unless the image has them."""
    if image.is_complete:
        return ()
    folders = [Path("/") / name for name in SYSTEM_LINKS]
    system = (ReadOnlyMount(path, str(path)) for path in folders if path.is_dir() and not path.is_symlink())
    libraries = Path("/etc/ld.so.cache")
    return (
        *python_environment.interpreter_mounts(),
        *python_environment.guest_mounts(),
        *system,
        *([ReadOnlyMount(libraries, str(libraries))] if libraries.is_file() else []),
    )


def _platform_files() -> tuple[ReadOnlyMount, ...]:
    """Process 1, and what of sysfs a guest may know: how many processors there are."""
    lists = (CPU_FOLDER / name for name in CPU_LISTS)
    return (
        *platform_code.mounts(),
        *map(_module, (privileges, process_one)),
        *(ReadOnlyMount(path, str(path)) for path in lists if path.is_file()),
    )


def _module(module: ModuleType) -> ReadOnlyMount:
    """Where a module's source lies on the host and inside."""
    inside = f"{platform_code.SOURCE_INSIDE}/{module.__name__.replace('.', '/')}.py"
    return ReadOnlyMount(Path(str(module.__file__)), inside)


def _covered_devices(runtime: Runtime, cover: Path) -> tuple[ReadOnlyMount, ...]:
    """gVisor brings devices that nobody asked for, and cannot do without: something lies over them."""
    names = EMULATED_DEVICES if runtime is Runtime.RUNSC else ()
    return tuple(ReadOnlyMount(cover, f"/dev/{name}") for name in names)


def _devices(device: str | None) -> list[Mapping[str, Any]]:
    """At most one GPU, by its UUID, for computing alone."""
    if device is None:
        return []
    return [{"Driver": "nvidia", "DeviceIDs": [device], "Capabilities": [["gpu", "compute", "utility"]]}]


def as_profile(profile: Mapping[str, Any]) -> str:
    """A system-call profile in the form that `SecurityOpt` takes."""
    return json.dumps(profile, separators=(",", ":"))
