"""Starts a container engine and a launcher of our own, for the tests of the Docker tiers.

The engine has its own folder, socket and runtimes and touches no network; gVisor joins where it is installed.
Both end with the test process, however that ends.
"""

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from sandbox_runner.sandboxes.docker.backend import TIERS, DockerBackend
from sandbox_runner.sandboxes.docker.container import NAME_LABEL
from sandbox_runner.sandboxes.docker.launcher import SWEEP_SECONDS, Launcher
from sandbox_runner.sandboxes.docker.settings import LauncherSettings
from sandbox_runner.sandboxes.docker.wire import Runtime

SHARED = "DELTANAS_TEST_LAUNCHER"
SHARED_ENGINE = "DELTANAS_TEST_ENGINE"
"""Name the sockets of launcher and engine to processes that a test starts."""
RUNTIMES = {tier: runtime for runtime, tier in TIERS.items()}
START_SECONDS = 60
ENGINE_OPTIONS = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2")
DIE_WITH_TEST = ("setpriv", "--pdeathsig", "TERM", "--")
LAUNCH = (
    "import sys; from sandbox_runner.sandboxes.docker import launcher; "
    "launcher.SWEEP_SECONDS = {}; sys.exit(launcher.main())"
)


class Engine:
    """One dockerd in a folder of its own."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="deltanas-docker-"))
        self.socket = self.folder / "docker.sock"
        self.process = None

    @property
    def address(self):
        return f"unix://{self.socket}"

    def start(self):
        runsc = shutil.which("runsc")
        options = []
        if runsc:
            wrapper = self.folder / "rt-runsc"
            wrapper.write_text(
                f'#!/bin/sh\nexec {runsc} --platform=systrap --directfs=false --network=none "$@"\n'
            )
            wrapper.chmod(0o755)
            options = ["--add-runtime", f"runsc={wrapper}"]
        with (self.folder / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*DIE_WITH_TEST, "dockerd", "-H", self.address, *ENGINE_OPTIONS, *options),
                    *("--data-root", self.folder / "data", "--exec-root", self.folder / "exec"),
                    *("--pidfile", self.folder / "docker.pid"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for_socket(self.socket, self.process, self.folder / "dockerd.log")

    def command(self, *words):
        """What the engine's own client says."""
        command = ["docker", "-H", self.address, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def kill(self):
        """As a crash would end it; the containerd that it started dies with it."""
        self.process.kill()
        self.process.wait()
        # Their numbers stay taken where nobody collects orphans, and a successor would wait for them.
        for left in (self.socket, self.folder / "docker.pid", self.folder / "exec/containerd/containerd.pid"):
            left.unlink(missing_ok=True)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        for pid in self._orphans():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(
            f"grep -o ' {self.folder}[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l",
            shell=True,
            check=False,
        )
        shutil.rmtree(self.folder, ignore_errors=True)

    def _orphans(self):
        """What an engine that was killed has left running."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if words and b"containerd" in words[0] and any(bytes(self.folder) in word for word in words):
                    yield int(entry.name)


class LauncherProcess:
    """One launcher, for an engine; one that sweeps more often than usual, where a test waits for that."""

    def __init__(self, engine, home=None, sweep_seconds=SWEEP_SECONDS):
        self.home = Path(home or engine.folder / "home")
        self._sweep_seconds = sweep_seconds
        self.socket = self.home / "launcher.sock"
        self.log = engine.folder / f"launcher-{secrets.token_hex(4)}.log"
        self._engine = engine
        self.process = None

    def start(self, **environment):
        self._open(environment)
        wait_for_socket(self.socket, self.process, self.log, socket.SOCK_SEQPACKET)

    def words_of_refusal(self, **environment):
        """What a launcher says that refuses to start."""
        self._open(environment)
        assert self.process.wait(START_SECONDS) == 3
        return self.log.read_text()

    def _open(self, environment):
        self.home.mkdir(exist_ok=True)
        settings = {"DELTANAS_HOME": str(self.home), "DELTANAS_DOCKER_HOST": self._engine.address}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*DIE_WITH_TEST, sys.executable, "-c", LAUNCH.format(self._sweep_seconds)],
                env={"PATH": os.environ["PATH"], **settings, **environment},
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)


def wait_for_socket(path, process, log, kind=socket.SOCK_STREAM):
    """Until somebody listens there: the file is there a moment before."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX, kind) as knock:
            if knock.connect_ex(str(path)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{path} did not appear: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def missing(runtime):
    """Why this machine cannot test that tier; empty when it can."""
    if os.geteuid() != 0:
        return "starting an engine of our own needs root"
    programs = {
        "dockerd": "docker.io",
        "docker": "docker.io",
        "containerd": "containerd",
        "runc": "runc",
        "setpriv": "util-linux",
    }
    if runtime is Runtime.RUNSC:
        programs["runsc"] = "runsc (bookworm-backports)"
    absent = [f"{name} ({package})" for name, package in programs.items() if not shutil.which(name)]
    return f"not installed: {', '.join(absent)}" if absent else ""


def docker_backend(runtime):
    """A backend of that tier; engine and launcher are started once for all tests of a process."""
    problem = missing(runtime)
    if problem:
        pytest.skip(f"docker+{runtime} is not tested on this machine: {problem}")
    if SHARED not in os.environ:
        os.environ[SHARED] = str(_start_shared())
    return DockerBackend(runtime, Path(os.environ[SHARED]))


@contextlib.contextmanager
def composing_here(backend):
    """A backend as the given one, whose view of the host is composed in this very process."""
    if not isinstance(backend, DockerBackend):
        yield backend
        return
    with tempfile.TemporaryDirectory(prefix="launcher-") as home:
        launcher = Launcher(LauncherSettings(home=home, docker_host=os.environ[SHARED_ENGINE]))
        thread = threading.Thread(target=launcher.run)
        thread.start()
        try:
            yield DockerBackend(RUNTIMES[backend.tier], Path(home) / "launcher.sock")
        finally:
            launcher.stop()
            thread.join()


def containers_of(engine, *filters):
    """Ids of the containers of an engine, the newest first."""
    options = [word for one in filters for word in ("--filter", one)]
    return engine.command("ps", "-aq", "--no-trunc", *options).split()


def container_ids(sandbox_name=None):
    """The containers of a sandbox, or of all; none while no engine of ours runs."""
    if SHARED_ENGINE not in os.environ:
        return []
    label = NAME_LABEL if sandbox_name is None else f"{NAME_LABEL}={sandbox_name}"
    command = [
        "docker",
        "-H",
        os.environ[SHARED_ENGINE],
        "ps",
        "-aq",
        "--no-trunc",
        "--filter",
        f"label={label}",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def host_mounts():
    """The mounts of this machine, without those of engines that are not ours: they come and go."""
    own = os.environ.get(SHARED_ENGINE, "unix:///nowhere/docker.sock").removeprefix("unix://")
    kinds = (" overlay ", " nsfs ")
    return [
        line
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if str(Path(own).parent) in line
        or not ("/deltanas-docker-" in line or any(kind in line for kind in kinds))
    ]


def _start_shared():
    engine = Engine()
    atexit.register(engine.stop)
    engine.start()
    launcher = LauncherProcess(engine)
    atexit.register(launcher.stop)
    launcher.start()
    os.environ[SHARED_ENGINE] = engine.address
    for name in (SHARED, SHARED_ENGINE):
        atexit.register(os.environ.pop, name, None)
    return launcher.socket
