"""Proves by trying that a backend's walls and limits hold on this machine; what is not proven is a problem.

One sandbox, with limits of its own, runs `probe_inside`; the host compares what it found with what should be.
It takes about a second and needs no torch. No backend that fails is ever used.
"""

import json
import logging
import os
import select
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.jobs import BackendReport
from contracts.measurements import MIB, Limits
from sandbox_runner import python_environment
from sandbox_runner.sandboxes.port import (
    Sandbox,
    SandboxBackend,
    SandboxSpec,
    SandboxUnavailable,
    Usage,
)

logger = logging.getLogger(__name__)

INSIDE = Path(__file__).with_name("probe_inside.py")
LIMITS = Limits(memory_bytes=64 * MIB, pids=20, disk_bytes=4 * MIB)
BUSY_PROCESSES = 4
MOST_CORES = 1.5
"""Measured where one is allowed: the quota is handed out in slices, so a short look sees somewhat more."""
PROBE_SECONDS = 20.0
"""Gives up after this; about a second on an idle machine."""
KILL_SECONDS = 1.0


@dataclass(frozen=True)
class Evidence:
    """What the sandbox said, what the kernel accounted, and how long the end took."""

    said: dict[str, Any]
    usage: Usage
    kill_seconds: float


Check = tuple[str, Callable[[Evidence], bool]]

CHECKS: tuple[Check, ...] = (
    ("the guest runs as root", lambda e: e.said["status"]["Uid"].split()[0] != "0"),
    ("the guest keeps groups of the host", lambda e: e.said["status"]["Groups"] in {"", _gid(e)}),
    (
        "the guest keeps capabilities",
        lambda e: all(
            int(e.said["status"][n], 16) == 0 for n in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        ),
    ),
    ("no_new_privs is not set", lambda e: e.said["status"]["NoNewPrivs"] == "1"),
    ("no seccomp filter is loaded", lambda e: e.said["status"]["Seccomp"] == "2"),
    ("processes of the host are visible", lambda e: len(e.said["processes"]) <= 3),
    ("a file of the host is readable", lambda e: e.said["canary"] == "ENOENT"),
    ("a system folder is writable", lambda e: "allowed" not in e.said["write"].values()),
    (
        "a temporary file system is not bounded",
        lambda e: all(
            LIMITS.disk_bytes // 2 <= size <= LIMITS.disk_bytes for size in e.said["bounded"].values()
        ),
    ),
    (
        "the guest cannot read its Python packages or sources; chmod -R a+rX the folders under details",
        lambda e: not e.said["unreadable"],
    ),
    ("the network can be reached", lambda e: "allowed" not in e.said["sockets"].values()),
    ("network interfaces of the host are visible", lambda e: set(e.said["interfaces"]) <= {"lo"}),
    (
        "the pids limit does not bite",
        lambda e: e.said["children"] < LIMITS.pids and e.usage.pids_limit_hits > 0,
    ),
    ("the CPU quota does not hold", lambda e: e.said["cores"] < MOST_CORES),
    (
        "the memory limit does not kill",
        lambda e: e.said["memory_child"] == 9 and e.usage.memory_limit_hits > 0,
    ),
    ("a stopped sandbox is not killed within a second", lambda e: e.kill_seconds <= KILL_SECONDS),
)
"""What must be true, under the name of what is wrong when it is not."""


def probe_backend(backend: SandboxBackend) -> BackendReport:
    """Run all checks against `backend`. Never raises: every failure becomes a problem of the report."""
    started = time.monotonic()
    details: dict[str, str] = {}
    try:
        evidence = _gather(backend)
        problems = tuple(problem for problem, holds in CHECKS if not holds(evidence))
        details = {name: str(evidence.said[name]) for name in ("cores", "children", "unreadable")}
        details["kill_seconds"] = f"{evidence.kill_seconds:.3f}"
    except SandboxUnavailable as error:
        problems = (str(error),)
    except Exception as error:
        logger.exception("the probe of %s failed", backend.name)
        problems = (f"the probe itself failed: {type(error).__name__}: {error}",)
    details["probe_seconds"] = f"{time.monotonic() - started:.2f}"
    return BackendReport(backend.name, backend.tier, not problems, problems, details)


def _gather(backend: SandboxBackend) -> Evidence:
    with tempfile.NamedTemporaryFile(prefix="deltanas-canary-") as canary:
        os.fchmod(canary.fileno(), 0o644)
        sandbox = backend.launch(_spec(canary.name))
        try:
            said = _listen(sandbox)
            usage = sandbox.usage()
            started = time.monotonic()
            sandbox.kill()
            return Evidence(said, usage, time.monotonic() - started)
        finally:
            sandbox.close()


def _spec(canary: str) -> SandboxSpec:
    settings = {
        "canary": canary,
        "folders": {mount.inside: str(mount.host) for mount in python_environment.guest_mounts()},
        "busy": BUSY_PROCESSES,
        "most_cores": MOST_CORES,
        "memory_bytes": LIMITS.memory_bytes,
    }
    return SandboxSpec(
        name=f"probe-{os.getpid()}-{time.monotonic_ns()}",
        argv=(*python_environment.python_command(INSIDE.read_text()), json.dumps(settings)),
        limits=LIMITS,
        environment=python_environment.guest_environment(1),
    )


def _listen(sandbox: Sandbox) -> dict[str, Any]:
    """Collect what the sandbox says until it is done. Raises SandboxUnavailable when it never is."""
    text = b""
    deadline = time.monotonic() + PROBE_SECONDS
    while b'"done"' not in text:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not select.select([sandbox.output], [], [], remaining)[0]:
            raise SandboxUnavailable(f"the probe did not finish within {PROBE_SECONDS:.0f} s")
        chunk = os.read(sandbox.output, 65_536)
        if not chunk:
            ending = text.decode(errors="replace")[-500:]
            raise SandboxUnavailable(f"the probe ended early ({sandbox.exit()}): {ending}")
        text += chunk
    said: dict[str, Any] = {}
    for line in text.splitlines():
        if line.startswith(b"{"):
            said.update(json.loads(line))
    return said


def _gid(evidence: Evidence) -> str:
    return str(evidence.said["status"]["Uid"].split()[0])
