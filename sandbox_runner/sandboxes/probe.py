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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from contracts.jobs import BackendReport
from contracts.measurements import MIB, Limits
from contracts.names import IsolationTier
from sandbox_runner import python_environment
from sandbox_runner.sandboxes import landlock
from sandbox_runner.sandboxes.port import DATA_INSIDE, Exit, Sandbox, SandboxSpec, SandboxUnavailable, Usage
from sandbox_runner.sandboxes.probe_inside import AGAIN, ENOUGH, MOST_FILES

logger = logging.getLogger(__name__)
_Found = TypeVar("_Found")

INSIDE = Path(__file__).with_name("probe_inside.py")
LIMITS = Limits(memory_bytes=96 * MIB, pids=20, disk_bytes=4 * MIB)
ROOMY_DISK_BYTES = 80 * MIB
"""Each of the two temporary folders takes less than the memory limit, both together take more."""
BUSY_PROCESSES = 4
MOST_CORES = 1.5
"""Measured where one is allowed: the quota is handed out in slices, so a short look sees somewhat more."""
MOST_CHILDREN = 200
LENT = "lent"
"""A file in the data folder, and its content: its mode lets everyone write, the read-only mount does not."""
PROBE_SECONDS = 60.0
"""Gives up on a scene after this; about a second on an idle machine."""
KILL_SECONDS = 1.0
SETTLE_SECONDS = 0.1
"""What has said that it will stop, or fork, does so meanwhile."""
KERNEL_BYTES_OF_A_FILE = 100
"""Where a number of files is bounded by the memory limit alone, each must weigh as much at least."""
DEVICES = {"1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2"}
"""null, zero, full, random, urandom; and the terminals that container engines bring along, unattached."""

KNOWN_VARIABLES = frozenset(python_environment.guest_environment(1)) | {"LC_CTYPE", "HOSTNAME"}
"""What a guest is started with, what Python adds, and a container engine: the sandbox's own name."""
EMULATED_DEVICES = {"10:200", "10:229", "net/tun", "fuse"}
"""gVisor's own: no driver of the host answers behind them."""

UPGRADE = "apt-get update && apt-get upgrade (kernel, bubblewrap, libseccomp2, docker.io, runc, runsc)"
UNIFIED_CGROUPS = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line (cgroup v2)"
NO_MEMORY_CONTROL = f"{UNIFIED_CGROUPS} and without cgroup_disable=memory"
EXPLAINED = "see docs/operating-sandboxes.md and the runner's log"
NO_QUOTA = "boot a kernel with CONFIG_CFS_BANDWIDTH, as the distributions' are"


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


NOTHING = Usage(cpu_seconds=0.0, memory_bytes=0, memory_limit_hits=0, pids_limit_hits=0)


@dataclass(frozen=True)
class Scene:
    """How one sandbox went: what it said, what the host saw of it, and how long its end took."""

    said: Mapping[str, Any] = field(default_factory=dict)
    held: Mapping[str, Usage] = field(default_factory=dict)
    """The accounts at each hold."""
    usage: Usage = NOTHING
    exit: Exit | None = None
    kill_seconds: float = 0.0
    pipes_block: bool = False
    lent_file_is_whole: bool = True
    cores: float = 0.0
    """CPU seconds per second while as many processes computed as could."""
    environment_digest: str = ""
    """What the sandbox says that a guest runs on."""


@dataclass(frozen=True)
class Evidence:
    """All scenes of one probe."""

    walls: Scene
    memory: Scene
    files: Scene
    plain_kill: Scene
    stop: Scene
    forks: Scene
    needs_landlock: bool = False
    is_emulated: bool = False

    @property
    def said(self) -> Mapping[str, Any]:
        """What the scene of the walls found."""
        return self.walls.said


@dataclass(frozen=True)
class Check:
    """What is wrong when `holds` is not true, and what mends it."""

    problem: str
    remedy: str
    holds: Callable[[Evidence], bool]

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


ENVIRONMENT = "environment_digest"
"""The detail of a report that names what guests run on in that backend."""
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

CHECKS: tuple[Check, ...] = (
    Check("the guest runs as root", UPGRADE, lambda e: e.said["status"]["Uid"].split()[0] != "0"),
    Check(
        "the guest keeps groups of the host", UPGRADE, lambda e: e.said["status"]["Groups"] in {"", _gid(e)}
    ),
    Check(
        "the guest keeps capabilities",
        UPGRADE,
        lambda e: all(int(e.said["status"][name], 16) == 0 for name in CAPABILITIES),
    ),
    Check("no_new_privs is not set", UPGRADE, lambda e: e.said["no_new_privs"] == 1),
    Check("no seccomp filter is loaded", UPGRADE, lambda e: e.said["seccomp"] == 2),
    Check("system calls that are to be refused get through", UPGRADE, lambda e: not e.said["calls"]),
    Check(
        "Landlock is there and not in force",
        UPGRADE,
        lambda e: not e.needs_landlock or e.said["own_process"] != "allowed",
    ),
    Check("processes of the host are visible", UPGRADE, lambda e: len(e.said["processes"]) <= 3),
    Check(
        "the environment of the host is visible",
        UPGRADE,
        lambda e: set(e.said["environment"]) <= KNOWN_VARIABLES,
    ),
    Check("a file of the host is readable", UPGRADE, lambda e: "allowed" not in e.said["canary"]),
    Check("a system folder is writable", UPGRADE, lambda e: "allowed" not in e.said["write"].values()),
    Check(
        "a read-only file of the host can be emptied",
        "runsc install -- --platform=systrap --directfs=false && systemctl restart docker",
        lambda e: e.walls.lent_file_is_whole,
    ),
    Check("switches of the kernel are writable", UPGRADE, lambda e: not e.said["switches"]),
    Check("devices of the host are there", UPGRADE, lambda e: set(e.said["devices"]) <= _devices(e)),
    Check(
        "a temporary folder's size is not bounded",
        UPGRADE,
        lambda e: all(
            LIMITS.disk_bytes // 2 <= size <= LIMITS.disk_bytes for size in e.said["bounded"].values()
        ),
    ),
    Check("a file may be of any length", UPGRADE, lambda e: "allowed" not in e.said["sparse"].values()),
    Check("the number of files is not bounded", UPGRADE, lambda e: _files_are_bounded(e.walls)),
    Check(
        "the guest cannot read its Python packages or sources",
        "chmod -R a+rX the folders under details",
        lambda e: not e.said["unreadable"],
    ),
    Check("the network can be reached", UPGRADE, lambda e: not e.said["sockets"]),
    Check(
        "network interfaces of the host are visible", UPGRADE, lambda e: set(e.said["interfaces"]) <= {"lo"}
    ),
    Check("an abstract socket of the host answers", UPGRADE, lambda e: e.said["abstract"] != "allowed"),
    Check(
        "the pids limit does not bite",
        UNIFIED_CGROUPS,
        lambda e: 0 < e.said["children"] < LIMITS.pids and e.walls.usage.pids_limit_hits > 0,
    ),
    Check("the CPU quota does not hold", NO_QUOTA, lambda e: e.walls.cores < MOST_CORES),
    Check(
        "the memory limit does not kill, or its kills are not counted",
        NO_MEMORY_CONTROL,
        lambda e: e.memory.usage.memory_limit_hits > 0 and e.memory.said.get("child") != 0,
    ),
    Check(
        "files in temporary folders do not count as memory",
        NO_MEMORY_CONTROL,
        lambda e: e.files.usage.memory_limit_hits > 0 and e.files.said.get("child") != 0,
    ),
    Check(
        "a plain kill cannot be told from the memory limit's",
        NO_MEMORY_CONTROL,
        lambda e: e.plain_kill.usage.memory_limit_hits == 0 and e.plain_kill.exit == Exit(None, 9),
    ),
    Check("the host's ends of the pipes block", UPGRADE, lambda e: not e.walls.pipes_block),
    Check(
        "a stopped sandbox is not killed within a second",
        UNIFIED_CGROUPS,
        lambda e: e.stop.kill_seconds <= KILL_SECONDS,
    ),
    Check(
        "a sandbox that forks and prints without end is not killed within a second",
        UNIFIED_CGROUPS,
        lambda e: e.forks.kill_seconds <= KILL_SECONDS,
    ),
)
"""What must be true, under the name of what is wrong when it is not."""


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
            needs_landlock=backend.tier is IsolationTier.NAMESPACES
            and landlock.kernel_abi() >= landlock.OLDEST_ABI,
            is_emulated=backend.tier is IsolationTier.DOCKER_RUNSC,
        )


def _watch_walls(
    backend: Launcher, settings: Mapping[str, object], others_end: Callable[[], object]
) -> Scene:
    """The scene of the walls, and what the host lent it."""
    sandbox = backend.launch(_spec("walls", LIMITS, settings))
    lent = sandbox.data / LENT
    try:
        lent.write_text(LENT)
        lent.chmod(0o666)
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
                break
        if "done" not in said:
            ending = said.get("error", f"after {', '.join(said)}")
            raise SandboxUnavailable(f"the probe ended early ({sandbox.exit()}): {ending}; {UPGRADE}")
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


def _files_are_bounded(walls: Scene) -> bool:
    """Whether every temporary folder refuses files at some number, or else the memory limit counts them."""
    made: Mapping[str, int] = walls.said["files"]
    unbounded = sum(number for number in made.values() if number >= MOST_FILES)
    grown = walls.held["files"].memory_bytes - walls.held["no files"].memory_bytes
    return all(made.values()) and grown >= unbounded * KERNEL_BYTES_OF_A_FILE


def _devices(evidence: Evidence) -> set[str]:
    """The devices that a guest may find."""
    return DEVICES | EMULATED_DEVICES if evidence.is_emulated else DEVICES


def _gid(evidence: Evidence) -> str:
    return str(evidence.said["status"]["Uid"].split()[0])
