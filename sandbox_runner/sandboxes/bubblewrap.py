"""The command line that makes bubblewrap build one sandbox: its namespaces and everything it can see.

Nothing of the host is visible but what stands here. Where bubblewrap's own shortcuts are too wide they are
not used: `--dev` brings an unsized writable tmpfs, and the root would stay writable.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sandbox_runner import python_environment
from sandbox_runner.sandboxes import platform_code
from sandbox_runner.sandboxes.port import DATA_INSIDE, ReadOnlyMount, SandboxUnavailable

SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Links into /usr where the distribution has merged it, folders of their own elsewhere."""
DEVICES = ("null", "zero", "full", "random", "urandom")
HIDDEN_PROC_FILES = (
    *("kcore", "keys", "key-users", "kallsyms", "timer_list", "sched_debug", "slabinfo", "vmallocinfo"),
    *(
        "sysrq-trigger",
        "interrupts",
        "latency_stats",
        "timer_stats",
        "cmdline",
        "locks",
        "softirqs",
        "cgroups",
    ),
    *(
        "diskstats",
        "partitions",
        "swaps",
        "mdstat",
        "devices",
        "misc",
        "modules",
        "consoles",
        "crypto",
        "dma",
    ),
    *("iomem", "ioports", "buddyinfo", "pagetypeinfo", "zoneinfo", "vmstat", "config.gz"),
)
HIDDEN_PROC_FOLDERS = ("pressure", "acpi", "asound", "bus", "driver", "fs", "irq", "scsi")
"""The host's devices, and its load: in `pressure` everyone may set alarms that the kernel then works for."""
CPU_FOLDER = Path("/sys/devices/system/cpu")
OLDEST_VERSION = (0, 8)
"""The first with --size."""
USER_NAMESPACES_REMEDY = (
    "user namespaces are refused to this user: run as root, or "
    "sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
)
REMEDIES = {
    "No permissions to create": USER_NAMESPACES_REMEDY,
    "setting up uid map": USER_NAMESPACES_REMEDY,
    "Operation not permitted": "inside a container, run it with --privileged or on the host itself",
}
SMALL_TMPFS_BYTES = 65_536
CAPABILITIES_OF_FIRST_PROCESS = (
    *("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"),
    *("CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_RESOURCE"),
)
"""To change user and to empty the bounding set; to bound the tmpfs' inodes, to hide the table of mounts, to
seal the user namespace; then it gives them up. An ordinary user's are worth nothing outside of that."""


@cache
def find_program() -> str:
    """Where bubblewrap is. Raises SandboxUnavailable when it is missing or too old."""
    program = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin")
    if program is None:
        raise SandboxUnavailable("bubblewrap is not installed; apt-get install bubblewrap")
    said = subprocess.run([program, "--version"], env={}, capture_output=True, text=True, check=False).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    if version < OLDEST_VERSION:
        raise SandboxUnavailable(
            f"{said.strip() or program} is too old: {'.'.join(map(str, OLDEST_VERSION))} is needed; "
            "install bubblewrap from the distribution's backports"
        )
    return program


def explain(error: str) -> str:
    """What bubblewrap said when it could not start, with what mends it where that is known."""
    for symptom, remedy in REMEDIES.items():
        if symptom in error:
            return f"{error}; {remedy}"
    return error


def namespace_options(as_root: bool) -> list[str]:
    """New namespaces of every kind; a user namespace, which process 1 seals, only where it must be."""
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"]
    options += [
        "--hostname",
        "sandbox",
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--cap-drop",
        "ALL",
    ]
    if not as_root:
        options.append("--unshare-user")
    for capability in CAPABILITIES_OF_FIRST_PROCESS:
        options += ["--cap-add", capability]
    return options


def file_system_options(data: Path, disk_bytes: int, passwd: int, group: int) -> list[str]:
    """Everything the sandbox sees. `passwd` and `group` are descriptors of generated files."""
    seen = (
        *python_environment.interpreter_mounts(),
        *python_environment.guest_mounts(),
        ReadOnlyMount(data, DATA_INSIDE),
        *platform_code.mounts(),
    )
    options = _parent_folders(
        mount.inside for mount in (*seen, ReadOnlyMount(CPU_FOLDER, f"{CPU_FOLDER}/online"))
    )
    for mount in seen:
        options += ["--ro-bind", str(mount.host), mount.inside]
    options += _hidden(python_environment.hidden_folders())
    options += _system_links()
    options += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for descriptor, path in ((passwd, "/etc/passwd"), (group, "/etc/group")):
        options += ["--perms", "0444", "--ro-bind-data", str(descriptor), path]
    options += ["--perms", "1777", "--size", str(disk_bytes), "--tmpfs", "/tmp"]  # noqa: S108  inside
    options += process_file_system_options() + _devices(disk_bytes)
    for name in ("possible", "present", "online"):
        options += ["--ro-bind-try", str(CPU_FOLDER / name), str(CPU_FOLDER / name)]
    return [*options, "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108  inside


def reach() -> dict[str, list[str]]:
    """What of all that a guest sees it may use, and how, as `landlock.restrict` wants it."""
    system = [mount.inside for mount in python_environment.interpreter_mounts()]
    return {
        "execute": [*system, *(f"/{name}" for name in SYSTEM_LINKS if not (Path("/") / name).is_symlink())],
        "read": [python_environment.HOME_INSIDE, DATA_INSIDE, "/etc", "/proc", str(CPU_FOLDER)],
        "write": ["/tmp", "/dev/shm"],  # noqa: S108  inside
        "devices": [f"/dev/{name}" for name in DEVICES],
    }


def _parent_folders(paths: Iterable[str]) -> list[str]:
    """The folders above `paths`, open to everyone: those that bubblewrap adds itself are its user's alone."""
    parents = {str(parent) for path in (*paths, "/etc/passwd") for parent in Path(path).parents}
    options: list[str] = []
    for parent in sorted(parents - {"/"}):
        options += ["--perms", "0755", "--dir", parent]
    return options


def _hidden(folders: Iterable[Path]) -> list[str]:
    """An empty, sealed file system over each folder."""
    options: list[str] = []
    for folder in map(str, folders):
        options += ["--perms", "0555", "--size", str(SMALL_TMPFS_BYTES), "--tmpfs", folder]
        options += ["--remount-ro", folder]
    return options


def _system_links() -> list[str]:
    options: list[str] = []
    for name in SYSTEM_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    return options


def process_file_system_options() -> list[str]:
    """A process file system whose switches are read-only, whoever would try them."""
    options = ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    for name in HIDDEN_PROC_FILES:
        if (Path("/proc") / name).exists():
            options += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    folders = (Path("/proc") / name for name in HIDDEN_PROC_FOLDERS)
    return options + _hidden(folder for folder in folders if folder.is_dir())


def _devices(disk_bytes: int) -> list[str]:
    options = ["--perms", "0755", "--size", str(SMALL_TMPFS_BYTES), "--tmpfs", "/dev"]
    for name in DEVICES:
        options += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    options += ["--symlink", "/proc/self/fd", "/dev/fd"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        options += ["--symlink", f"/proc/self/fd/{number}", f"/dev/{name}"]
    options += ["--perms", "1777", "--size", str(disk_bytes), "--tmpfs", "/dev/shm"]  # noqa: S108  inside
    return [*options, "--remount-ro", "/dev"]
