"""What every sandbox backend must offer. `tests/behaviour/test_sandbox_port.py` holds each to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from contracts.jobs import BackendReport
from contracts.measurements import Limits
from contracts.names import IsolationTier


class SandboxUnavailable(Exception):
    """The platform could not start a sandbox. Never the candidate's fault: the attempt is retried."""


@dataclass(frozen=True)
class ReadOnlyMount:
    """A host file or folder that the sandbox sees, read-only, at `inside`."""

    host: Path
    inside: str


DATA_INSIDE = "/data"
"""Where the guest sees its sandbox's data folder."""


@dataclass(frozen=True)
class SandboxSpec:
    """One sandbox. Nothing in it comes from a candidate; `argv` is the guest's fixed command.

    What a sandbox can see is the same for all and not part of it: `python_environment` and `Sandbox.data`.
    """

    name: str
    """Unique; names cgroups and containers. [a-z0-9-] only."""
    argv: tuple[str, ...]
    limits: Limits
    threads: int = 1
    """CPU quota in cores."""
    environment: Mapping[str, str] = field(default_factory=dict)
    device: str | None = None
    """The one GPU that the guest may use, by its UUID; None: none."""


@dataclass(frozen=True)
class Usage:
    """What the kernel accounted to everything in the sandbox so far."""

    cpu_seconds: float
    memory_bytes: int
    """Anonymous and shared memory (tmpfs included) that it holds now; the page cache of files is left out."""
    memory_limit_hits: int
    """How often the kernel killed for memory."""
    pids_limit_hits: int
    """How often a fork was refused."""


@dataclass(frozen=True)
class Exit:
    """How the sandbox's first process ended: an exit code, or the signal that ended it."""

    code: int | None
    signal: int | None


class Sandbox(Protocol):
    """A running sandbox. Owned by one attempt; `close` always follows, whatever happened."""

    to_guest: int
    """Write end of the pipe that the guest reads as descriptor 3. Non-blocking."""
    from_guest: int
    """Read end of the pipe that the guest writes as descriptor 4. Non-blocking."""
    output: int
    """Read end of the guest's stdout and stderr. Non-blocking."""
    environment_digest: str
    """Names what the guest runs on: interpreter, packages and sources, or a pinned image."""
    data: Path
    """A folder of the host that the guest sees, read-only, at DATA_INSIDE. Empty at first: the host may add
    files at any time, and `close` removes it."""

    def usage(self) -> Usage:
        """Read the accounting; works after the end, too, until `close`.

        Raises SandboxUnavailable when the platform itself has lost the sandbox.
        """
        ...

    def exit(self) -> Exit | None:
        """How the first process ended, or None while it runs. Never blocks.

        Raises SandboxUnavailable when the platform itself has lost the sandbox.
        """
        ...

    def kill(self) -> None:
        """End every process in the sandbox within a second, whatever they do. Idempotent."""
        ...

    def close(self) -> None:
        """Kill, then free every descriptor, cgroup, mount and file of the sandbox. Idempotent."""
        ...


class SandboxBackend(Protocol):
    """Starts sandboxes of one isolation tier."""

    name: str
    tier: IsolationTier

    @property
    def forks(self) -> bool:
        """Whether its starts are warm by themselves, so that no sandbox has to wait for work."""
        ...

    def probe(self) -> BackendReport:
        """Prove, by trying, that every limit and wall really holds on this machine. Never raises."""
        ...

    def launch(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox. Raises SandboxUnavailable."""
        ...

    def close(self) -> None:
        """Free what the backend itself holds, after its sandboxes are closed."""
        ...
