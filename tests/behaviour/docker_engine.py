"""Starts a container engine and a launcher of our own, for the tests of the Docker tiers.

The engine has its own folder, socket and runtimes and touches no network; gVisor joins where it is installed.
Both end with the test process, however that ends.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sandbox_runner.sandboxes.docker.backend import DockerBackend
from sandbox_runner.sandboxes.docker.wire import Runtime

SHARED = "DELTANAS_TEST_LAUNCHER"
"""Names the launcher's socket to processes that a test starts."""
START_SECONDS = 60
ENGINE_OPTIONS = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2")
DIE_WITH_TEST = ("setpriv", "--pdeathsig", "TERM", "--")


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
            wrapper.write_text(f'#!/bin/sh\nexec {runsc} --platform=systrap --network=none "$@"\n')
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

    def kill(self):
        """As a crash would end it, with the containerd that it started."""
        pid = self.folder / "exec" / "containerd" / "containerd.pid"
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        self.socket.unlink(missing_ok=True)
        (self.folder / "docker.pid").unlink(missing_ok=True)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        subprocess.run(
            f"grep -o ' {self.folder}[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l",
            shell=True,
            check=False,
        )
        shutil.rmtree(self.folder, ignore_errors=True)


class LauncherProcess:
    """One launcher, for an engine."""

    def __init__(self, engine, home=None):
        self.home = Path(home or engine.folder / "home")
        self.socket = self.home / "launcher.sock"
        self.log = engine.folder / "launcher.log"
        self._engine = engine
        self.process = None

    def start(self, **environment):
        self.home.mkdir(exist_ok=True)
        settings = {"DELTANAS_HOME": str(self.home), "DELTANAS_DOCKER_HOST": self._engine.address}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*DIE_WITH_TEST, sys.executable, "-m", "sandbox_runner.sandboxes.docker.launcher"],
                env={"PATH": os.environ["PATH"], **settings, **environment},
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for_socket(self.socket, self.process, self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)


def wait_for_socket(path, process, log):
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{path} did not appear: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def missing(runtime):
    """Why this machine cannot test that tier; empty when it can."""
    if os.geteuid() != 0:
        return "starting an engine of our own needs root"
    programs = {"dockerd": "docker.io", "containerd": "containerd", "runc": "runc", "setpriv": "util-linux"}
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


def _start_shared():
    engine = Engine()
    atexit.register(engine.stop)
    engine.start()
    launcher = LauncherProcess(engine)
    atexit.register(launcher.stop)
    launcher.start()
    atexit.register(os.environ.pop, SHARED, None)
    return launcher.socket
