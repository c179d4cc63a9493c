"""Proves by trying that a backend's walls and limits hold on this machine; what is not proven is a problem.

Six small sandboxes, with limits of their own, run the scenes of `probe_inside` side by side; the host
compares what they found, and what it saw of them, with what should be. It takes a second or two and needs no
torch. No backend that fails is ever used.
"""

import json
import logging
import os
import secrets
import select
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from contracts.jobs import BackendReport
from contracts.measurements import MIB, Limits
from contracts.names import IsolationTier
from sandbox_runner import python_environment
from sandbox_runner.sandboxes import landlock
from sandbox_runner.sandboxes.port import DATA_INSIDE, Sandbox, SandboxSpec, SandboxUnavailable, Usage
from sandbox_runner.sandboxes.probe_checks import (
    CHECKS,
    KILL_SECONDS,
    LIMITS,
    MOST_CORES,
    UPGRADE,
    Evidence,
    Scene,
)
from sandbox_runner.sandboxes.probe_inside import AGAIN, ENOUGH

logger = logging.getLogger(__name__)
_Found = TypeVar("_Found")

INSIDE = Path(__file__).with_name("probe_inside.py")
WALLS_MEMORY_BYTES = 256 * MIB
"""The walls are tried with room: under gVisor a fork copies 4 MiB, and with LIMITS chance would end it."""
ROOMY_DISK_BYTES = 80 * MIB
"""Each of the two temporary folders takes less than the memory limit, both together take more."""
BUSY_PROCESSES = 4
MOST_CHILDREN = 200
LENT = "lent"
"""A file in the data folder, and its content: its mode lets everyone write, the read-only mount does not."""
PROBE_SECONDS = 60.0
"""Gives up on a scene after this; about a second on an idle machine."""
SETTLE_SECONDS = 0.1
"""What has said that it will stop, or fork, does so meanwhile."""
EXPLAINED = "see docs/operating-sandboxes.md and the runner's log"
ENVIRONMENT = "environment_digest"
"""The detail of a report that names what guests run on in that backend."""


class Launcher(Protocol):
    """What is proved: a way to start sandboxes."""

    @property
    def name(self) -> str:
        """As in the report."""
        ...

    @property
    def tier(self) -> IsolationTier:
        """As in the report."""
        ...

    def launch(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox. Raises SandboxUnavailable."""
        ...


def probe_backend(backend: Launcher) -> BackendReport:
    """Run all checks against `backend`. Never raises: every failure becomes a problem of the report."""
    started = time.monotonic()
    details: dict[str, str] = {}
    try:
        evidence = _gather(backend)
        problems = tuple(str(check) for check in CHECKS if not check.holds(evidence))
        details = _details(evidence)
    except SandboxUnavailable as error:
        problems = (str(error) if "; " in str(error) else f"{error}; {EXPLAINED}",)
    except Exception as error:
        logger.exception("the probe of %s failed", backend.name)
        problems = (f"the probe itself failed: {type(error).__name__}: {error}; {EXPLAINED}",)
    details["probe_seconds"] = f"{time.monotonic() - started:.2f}"
    return BackendReport(backend.name, backend.tier, not problems, problems, details)


def _details(evidence: Evidence) -> dict[str, str]:
    """What an operator may want to know beside the problems."""
    said = evidence.said
    in_force = f"version {landlock.kernel_abi()}" if said["own_process"] == "EACCES" else "none"
    details = {name: str(said[name]) for name in ("children", "files", "unreadable")}
    details |= {name: ", ".join(said[name]) for name in ("calls", "devices", "switches")}
    slowest = max(evidence.stop.kill_seconds, evidence.forks.kill_seconds)
    details["cores"] = f"{evidence.walls.cores:.2f}"
    details[ENVIRONMENT] = evidence.walls.environment_digest
    return {**details, "landlock": in_force, "kill_seconds": f"{slowest:.3f}"}


def _gather(backend: Launcher) -> Evidence:
    """Play all scenes at a time, but for the CPU's, which waits until the others are over."""
    with ExitStack() as host:
        canary = host.enter_context(tempfile.NamedTemporaryFile(prefix="deltanas-canary-"))
        os.fchmod(canary.fileno(), 0o644)
        abstract = f"deltanas-probe-{secrets.token_hex(8)}"
        listener = host.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"\0{abstract}")
        listener.listen()
        pool = host.enter_context(ThreadPoolExecutor(max_workers=5, thread_name_prefix="probe"))
        roomy = replace(LIMITS, disk_bytes=ROOMY_DISK_BYTES)
        others = {
            "memory": pool.submit(_watch, backend, "memory", LIMITS),
            "files": pool.submit(_watch, backend, "files", roomy),
            "plain_kill": pool.submit(_watch, backend, "plain kill", LIMITS),
            "stop": pool.submit(_watch_end, backend, "stop"),
            "forks": pool.submit(_watch_end, backend, "forks"),
        }
        settings = {
            "canary": canary.name,
            "abstract": abstract,
            "lent": f"{DATA_INSIDE}/{LENT}",
            "folders": {mount.inside: str(mount.host) for mount in python_environment.guest_mounts()},
            "busy": BUSY_PROCESSES,
            "most_children": MOST_CHILDREN,
        }
        walls = _watch_walls(backend, settings, lambda: [scene.result() for scene in others.values()])
        return Evidence(
            walls,
            **{name: scene.result() for name, scene in others.items()},
            needs_landlock=backend.tier is not IsolationTier.DOCKER_RUNSC
            and landlock.kernel_abi() >= landlock.OLDEST_ABI,
            is_emulated=backend.tier is IsolationTier.DOCKER_RUNSC,
        )


def _watch_walls(
    backend: Launcher, settings: Mapping[str, object], others_end: Callable[[], object]
) -> Scene:
    """The scene of the walls, and what the host lent it."""
    sandbox = backend.launch(_spec("walls", replace(LIMITS, memory_bytes=WALLS_MEMORY_BYTES), settings))
    lent = sandbox.data / LENT
    try:
        lent.write_text(LENT)
        lent.chmod(0o666)
        said, held, cores = _look_behind_walls(sandbox, others_end)
        blocks = any(os.get_blocking(fd) for fd in (sandbox.to_guest, sandbox.from_guest, sandbox.output))
        is_whole = lent.read_text() == LENT
        return Scene(
            said,
            held,
            sandbox.usage(),
            pipes_block=blocks,
            lent_file_is_whole=is_whole,
            cores=cores,
            environment_digest=sandbox.environment_digest,
        )
    finally:
        sandbox.close()


def _look_behind_walls(
    sandbox: Sandbox, others_end: Callable[[], object]
) -> tuple[dict[str, Any], dict[str, Usage], float]:
    """What is said, the accounts at each hold, and the cores in use. Raises SandboxUnavailable, OSError."""
    said: dict[str, Any] = {}
    held: dict[str, Usage] = {}
    idle_since, cores = 0.0, 0.0
    for line in _lines(sandbox):
        said |= line
        if "hold" in line:
            answer = ENOUGH
            if line["hold"] == "others":
                others_end()
            held[line["hold"]] = usage = sandbox.usage()
            if line["hold"] == "idle":
                idle_since = time.monotonic()
            elif line["hold"] == "burnt":
                took = time.monotonic() - idle_since
                cores = (usage.cpu_seconds - held["idle"].cpu_seconds) / took
                answer = ENOUGH if cores < MOST_CORES else AGAIN
            os.write(sandbox.to_guest, answer)
        if "done" in said:
            return said, held, cores
    ending = said.get("error", f"after {', '.join(said)}")
    raise SandboxUnavailable(f"the probe ended early ({sandbox.exit()}): {ending}; {UPGRADE}")


def _watch(backend: Launcher, scene: str, limits: Limits) -> Scene:
    """A scene that comes to an end by itself."""
    sandbox = backend.launch(_spec(scene, limits))
    try:
        said: dict[str, Any] = {}
        for line in _lines(sandbox):
            said |= line
        ended = _wait(sandbox.exit)
        return Scene(said, usage=sandbox.usage(), exit=ended)
    finally:
        sandbox.close()


def _watch_end(backend: Launcher, scene: str) -> Scene:
    """How punctual the end of a scene is that has none; on a busy machine the second try counts."""
    for _ in range(2):
        sandbox = backend.launch(_spec(scene, LIMITS))
        try:
            next(_lines(sandbox), None)  # and nobody reads what it prints from here on
            time.sleep(SETTLE_SECONDS)
            seen = Scene(kill_seconds=_kill(sandbox), usage=sandbox.usage())
        finally:
            sandbox.close()
        if seen.kill_seconds <= KILL_SECONDS:
            break
    return seen


def _spec(scene: str, limits: Limits, more: Mapping[str, object] | None = None) -> SandboxSpec:
    settings = {
        "scene": scene,
        "memory_bytes": limits.memory_bytes,
        "disk_bytes": limits.disk_bytes,
        **(more or {}),
    }
    return SandboxSpec(
        name=f"probe-{secrets.token_hex(6)}",
        argv=(*python_environment.python_command(INSIDE.read_text()), json.dumps(settings)),
        limits=limits,
        environment=python_environment.guest_environment(1),
    )


def _lines(sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    """What the sandbox says, line by line, until its end. Raises SandboxUnavailable when that never comes."""
    text = b""
    output = select.poll()  # select(2) knows no descriptor above 1023
    output.register(sandbox.output, select.POLLIN)
    deadline = time.monotonic() + PROBE_SECONDS
    while True:
        line, separator, rest = text.partition(b"\n")
        if separator:
            text = rest
            yield _finding(line)
            continue
        if not output.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SandboxUnavailable(
                f"the probe did not finish within {PROBE_SECONDS:.0f} s; restart when it is less busy"
            )
        chunk = os.read(sandbox.output, 65_536)
        if not chunk:
            return
        text += chunk


def _finding(line: bytes) -> dict[str, Any]:
    """One finding; of a traceback, which is no finding, the last line is kept under `error`."""
    if line.startswith(b"{"):
        return dict(json.loads(line))
    return {"error": line.decode(errors="replace")}


def _wait(look: Callable[[], _Found | None]) -> _Found | None:
    """What `look` finds, as soon as it finds something; None when that takes too long."""
    deadline = time.monotonic() + PROBE_SECONDS
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return found


def _kill(sandbox: Sandbox) -> float:
    """Kill a sandbox; the seconds until nothing of it ran any more."""
    started = time.monotonic()
    sandbox.kill()
    ended = _wait(sandbox.exit)
    return time.monotonic() - started if ended else PROBE_SECONDS
