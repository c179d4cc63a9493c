"""What this machine has and lacks, found without importing anything heavy and without changing anything.

Each check that fails names the command that mends it. Whether the walls of a sandbox really hold is
not guessed here: the runner's own probe says so, and `doctor` asks it.
"""

import ctypes
import ctypes.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deltanas.cli.checks import Check
from deltanas.cli.docker_checks import docker_checks
from deltanas.cli.endpoint_checks import endpoint_checks
from deltanas.cli.gpu_checks import gpu_checks
from deltanas.home import Home

NAMESPACES = "namespaces"
"""The part of a machine that only the tier of this name needs."""

_GIB = 1024**3
_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "fastapi",
    "sqlalchemy",
    "libcst",
    "pyseccomp",
)
_ROOM_GIB = 4
_MEMORY_GIB = 4
_DELEGATE = 'systemd-run --user --scope -p "Delegate=cpu memory pids" deltanas up'
_LANDLOCK_CREATE_RULESET = 444
"""The same number on every architecture (linux/unistd.h)."""
_LANDLOCK_VERSION = 1
_OLDEST_LANDLOCK = 2
"""Older ones are not used: they forbid to move any file from one folder to another."""


def machine_checks(home: Home, port: int = 8000) -> Iterator[Check]:
    """Look at everything that can be seen without a server."""
    software = [_python(), *map(_package, _PACKAGES)]
    yield from (replace(check, part="software") for check in software)
    walls = [_bubblewrap(), _seccomp(), _cgroups(), _user_namespaces(), _landlock()]
    yield from (replace(check, part=NAMESPACES) for check in walls)
    yield from docker_checks(home)
    yield from gpu_checks()
    yield from endpoint_checks(home)
    yield from (replace(check, part="machine") for check in (_disk(home), _memory(), _port(home, port)))


def _python() -> Check:
    return Check(
        "python",
        sys.version_info >= (3, 11),
        platform.python_version(),
        "install Python 3.11 or newer: apt-get install python3 python3-venv",
    )


def _package(name: str) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed", "make setup")


def _bubblewrap() -> Check:
    remedy = "apt-get install bubblewrap"
    program = shutil.which("bwrap")
    if program is None:
        return Check("bubblewrap", False, "not found", remedy)
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("bubblewrap", False, f"does not run: {error}", remedy)
    return Check("bubblewrap", answer.returncode == 0, answer.stdout.strip() or answer.stderr.strip(), remedy)


def _seccomp() -> Check:
    kernel = any(line.startswith("Seccomp:") for line in Path("/proc/self/status").read_text().splitlines())
    library = ctypes.util.find_library("seccomp")
    if not kernel:
        return Check("seccomp", False, "the kernel has none", "use a kernel with CONFIG_SECCOMP_FILTER")
    found = library or "the kernel has it, libseccomp is missing"
    return Check("seccomp", library is not None, found, "apt-get install libseccomp2")


def _cgroups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Check:
    if (root / "cgroup.controllers").exists():
        return _unified_cgroups(root, own)
    missing = {name for name in ("memory", "pids", "cpu") if not (root / name).is_dir()}
    if missing:
        found = f"version 1, without {' '.join(sorted(missing))}"
        return Check("cgroups", False, found, "boot with systemd.unified_cgroup_hierarchy=1")
    writable = os.access(root / "memory", os.W_OK)
    found = "version 1" if writable else "version 1, which only root may divide"
    remedy = "run as root, or boot with systemd.unified_cgroup_hierarchy=1 and delegate a group"
    return Check("cgroups", writable, found, remedy)


def _unified_cgroups(root: Path, own: Path) -> Check:
    offered = (root / "cgroup.controllers").read_text().split()
    missing = sorted({"memory", "pids", "cpu"} - set(offered))
    if missing:
        remedy = f"boot with cgroup_enable={','.join(missing)} (in a container: delegate them to it)"
        return Check("cgroups", False, f"version 2, without {' '.join(missing)}", remedy)
    if os.geteuid() == 0 or os.environ.get("DELTANAS_CGROUP_ROOT"):
        return Check("cgroups", True, f"version 2 ({' '.join(offered)})")
    lines = own.read_text().splitlines()
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    folder = root / group
    divisible = os.access(folder, os.W_OK) and os.access(folder / "cgroup.subtree_control", os.W_OK)
    found = f"version 2; {folder} is {'' if divisible else 'not '}delegated to this user"
    return Check("cgroups", divisible, found, _DELEGATE)


def _user_namespaces(sysctls: Path = Path("/proc/sys")) -> Check:
    name = "user namespaces"
    if os.geteuid() == 0:
        return Check(name, True, "not needed by root")
    refusals = {
        "user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=15000"),
        "kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
        "kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap",
        ),
    }
    for setting, (refusing, remedy) in refusals.items():
        file = sysctls / setting
        if file.exists() and file.read_text().strip() == refusing:
            found = f"refused to this user: {setting.replace('/', '.')} = {refusing}"
            return Check(name, False, found, remedy)
    return Check(name, True, "not refused to this user")


def _landlock(abi: int | None = None) -> Check:
    abi = _landlock_abi() if abi is None else abi
    if abi >= _OLDEST_LANDLOCK:
        return Check("landlock", True, f"ABI {abi}", required=False)
    found = f"ABI {abi}, which is too old for use" if abi > 0 else "this kernel has none, or it is off"
    remedy = (
        "boot a kernel of 5.19 or later with lsm=landlock,… on its command line (a second wall, not needed)"
    )
    return Check("landlock", False, found, remedy, required=False)


def _landlock_abi() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    asked = (_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_LANDLOCK_VERSION))
    return int(libc.syscall(*asked))


def _disk(home: Home) -> Check:
    free = shutil.disk_usage(home.path).free / _GIB
    remedy = f"free {_ROOM_GIB} GiB, or set DELTANAS_HOME to a larger disk"
    return Check("disk", free >= _ROOM_GIB, f"{free:.0f} GiB free in {home.path}", remedy)


def _memory() -> Check:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    free = kib * 1024 / _GIB
    remedy = "close other programs, or lower `limits.memory_bytes` of your requests"
    return Check("memory", free >= _MEMORY_GIB, f"{free:.1f} GiB available", remedy, required=False)


def _port(home: Home, port: int) -> Check:
    running = home.running_server()
    if running:
        return Check("server", True, f"runs at {running.address} (process {running.pid})")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free = probe.connect_ex(("127.0.0.1", port)) != 0
    found = "not running; its usual port is " + ("free" if free else f"taken ({port})")
    return Check("server", free, found, "deltanas up --port 0", required=False)
