"""Runs small hostile programs in a sandbox, for the suites that hold every sandbox backend to its port."""

import json
import os
import secrets
import select
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from docker_engine import container_ids, docker_backend

from contracts.measurements import MIB, Limits
from contracts.names import IsolationTier
from sandbox_runner import python_environment
from sandbox_runner.sandboxes.docker.wire import Runtime
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
from sandbox_runner.sandboxes.port import Exit, SandboxSpec, Usage

FOLDER = Path(tempfile.gettempdir()) / "deltanas-behaviour"
"""Where the backends keep their data folders."""
BACKENDS = {
    "namespaces": lambda: NamespacesBackend(FOLDER),
    "docker+runc": lambda: docker_backend(Runtime.RUNC),
    "docker+runsc": lambda: docker_backend(Runtime.RUNSC),
}
PARAMETERS = ["namespaces", "docker+runc", pytest.param("docker+runsc", marks=pytest.mark.full)]
"""gVisor starts slowly: in `make test` the specimens alone hold that tier to its walls."""

OWN_NAMES = f"test-{os.getpid()}-"
"""How the sandboxes of this process are called; others may run the same tests beside it."""
KILL_SECONDS = 4.0
"""A kill takes at most a second, as every probe proves; a busy machine is given four times as long here."""
SMALL = Limits(memory_bytes=96 * MIB, pids=24, disk_bytes=8 * MIB)


@dataclass(frozen=True)
class Ended:
    exit: Exit | None
    output: str
    usage: Usage

    @property
    def said(self):
        """The last line of output, as JSON."""
        return json.loads(self.output.strip().splitlines()[-1])


def spec(code, limits=SMALL, threads=1, **changes):
    made = SandboxSpec(
        name=f"{OWN_NAMES}{secrets.token_hex(6)}",
        argv=python_environment.python_command(code),
        limits=limits,
        threads=threads,
        environment=python_environment.guest_environment(threads),
    )
    return replace(made, **changes)


@contextmanager
def running(backend, code, *arguments, **options):
    sandbox = backend.launch(spec(code, *arguments, **options))
    try:
        yield sandbox
    finally:
        sandbox.close()


def run(backend, code, *arguments, seconds=30.0, **options):
    with running(backend, code, *arguments, **options) as sandbox:
        output = read_until(sandbox, lambda text: sandbox.exit() is not None, seconds)
        output += drain(sandbox)
        return Ended(sandbox.exit(), output, sandbox.usage())


def read_until(sandbox, done, seconds=30.0):
    """Collect output until `done(text)`, the end of the output, or the time limit."""
    text = ""
    deadline = time.monotonic() + seconds
    while not done(text) and time.monotonic() < deadline:
        if select.select([sandbox.output], [], [], 0.02)[0]:
            chunk = os.read(sandbox.output, 65_536)
            if not chunk:
                while not done(text) and time.monotonic() < deadline:
                    time.sleep(0.01)
                break
            text += chunk.decode(errors="replace")
    return text


def drain(sandbox):
    text = b""
    try:
        while chunk := os.read(sandbox.output, 65_536):
            text += chunk
            if len(text) > MIB:
                break
    except BlockingIOError:
        pass
    return text.decode(errors="replace")


def wait_for(condition, seconds):
    """Whether `condition()` becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def processes_with(marker):
    """Host processes whose command line holds `marker`; zombies have none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def control_groups(sandbox_name):
    """The folders of a sandbox in all hierarchies of control groups, whoever made them."""
    names = {sandbox_name, *container_ids(sandbox_name)}
    return [
        Path(parent) / folder
        for parent, folders, _ in os.walk("/sys/fs/cgroup")
        for folder in folders
        if folder in names
    ]


def has_own_kernel(backend):
    """Whether guests run on a kernel in user space, gVisor's: they are no processes of the host."""
    return backend.tier is IsolationTier.DOCKER_RUNSC


def host_processes(backend, sandbox_name, marker):
    """What runs of a sandbox on the host: under gVisor its kernel, elsewhere whatever bears the marker."""
    if not has_own_kernel(backend):
        return processes_with(marker)
    found = set()
    for folder in control_groups(sandbox_name):
        with suppress(OSError):  # a group may go at any moment
            found.update((folder / "cgroup.procs").read_text().split())
    return found
