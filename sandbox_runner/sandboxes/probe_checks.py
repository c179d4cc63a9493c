"""What must be true of every sandbox before one is used, and what mends it where it is not. Pure.

The evidence is gathered by `probe`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.measurements import MIB, Limits
from sandbox_runner import python_environment
from sandbox_runner.sandboxes.port import Exit, Usage
from sandbox_runner.sandboxes.probe_inside import MOST_FILES

LIMITS = Limits(memory_bytes=96 * MIB, pids=20, disk_bytes=4 * MIB)
MOST_CORES = 1.5
"""Measured where one is allowed: the quota is handed out in slices, so a short look sees somewhat more."""
KILL_SECONDS = 1.0
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
NO_QUOTA = "boot a kernel with CONFIG_CFS_BANDWIDTH, as the distributions' are"

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
