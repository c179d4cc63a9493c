"""What this machine has and lacks, found without importing anything heavy and without changing anything.

Each check that fails names the command that mends it. Whether the walls of a sandbox really hold is
not guessed here: the runner's own probe says so, and `doctor` asks it.
"""

import ctypes.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deltanas.home import Home

_GIB = 1024**3
_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "fastapi",
    "sqlalchemy",
    "libcst",
    "unidiff",
    "datasketch",
    "pyseccomp",
)
_ROOM_GIB = 4
_MEMORY_GIB = 4


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. A failed check that is not `required` is only a hint."""

    name: str
    passed: bool
    found: str
    remedy: str = ""
    required: bool = True

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def machine_checks(home: Home, port: int = 8000) -> Iterator[Check]:
    """Look at everything that can be seen without a server."""
    yield _python()
    for package in _PACKAGES:
        yield _package(package)
    yield _bubblewrap()
    yield _seccomp()
    yield _cgroups()
    yield _disk(home)
    yield _memory()
    yield _port(home, port)


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


def _cgroups() -> Check:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        offered = (root / "cgroup.controllers").read_text().split()
        missing = {"memory", "pids", "cpu"} - set(offered)
        found = f"version 2 ({' '.join(offered)})"
        return Check(
            "cgroups", not missing, found, "boot with cgroup_enable=memory systemd.unified_cgroup_hierarchy=1"
        )
    missing = {name for name in ("memory", "pids", "cpu") if not (root / name).is_dir()}
    writable = not missing and os.access(root / "memory", os.W_OK)
    found = (
        "version 1"
        if writable
        else f"version 1, missing: {' '.join(sorted(missing)) or 'the right to write'}"
    )
    return Check("cgroups", writable, found, "run as root, or delegate a cgroup to this user")


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
