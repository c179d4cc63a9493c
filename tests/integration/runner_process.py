"""The real runner as a process of its own, driven over its socket as an agent does, and seen from outside."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from processes import descendants_of, until

from sandbox_runner.agent.links import RunnerLink, Unreachable
from sandbox_runner.sandboxes.cgroups.files import RUNNER_PREFIX
from sandbox_runner.specimens import quadrants

TOKEN = "a token of the tests"
CGROUPS = Path("/sys/fs/cgroup")
READY_SECONDS = 180
"""A tier that has failed is proven again after a minute, at the latest."""


@dataclass(frozen=True)
class Holdings:
    """What a runner holds of its machine at one moment."""

    descriptors: int
    threads: int
    resident_bytes: int
    processes: int
    """Its descendants, zombies included, and the members of its cgroups."""
    cgroups: int
    mounts: int
    """Those that concern its home: others on this machine mount, too."""
    data_folders: int
    files: int
    disk_bytes: int


class RunnerProcess:
    """`python -m sandbox_runner` on a home of its own, where the data set of the specimens is ready."""

    def __init__(self, home, slots=2, warm=None):
        self.home = home
        self.socket = home / "runner.sock"
        self.log = home.parent / "runner.log"
        self.slots = slots
        self._warm = slots if warm is None else warm
        self.process = None
        home.mkdir(exist_ok=True)
        home.chmod(0o755)
        if not (home / "datasets" / quadrants.NAME).exists():
            quadrants.write_quadrants(home)

    def start(self, ready=True):
        environment = {
            "PATH": os.environ["PATH"],
            "DELTANAS_HOME": str(self.home),
            "DELTANAS_RUNNER_ADDRESS": f"unix:{self.socket}",
            "DELTANAS_SERVICE_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest(),
            "DELTANAS_RUNNER_SLOTS": str(self.slots),
            "DELTANAS_RUNNER_WARM": str(self._warm),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sandbox_runner"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if ready:
            until(self.is_ready, READY_SECONDS, lambda: f"ready: {self.log.read_text()[-2000:]}")
        return self

    def link(self):
        return RunnerLink(f"unix:{self.socket}", TOKEN)

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with self.link() as link, suppress(Unreachable):
            return link.capabilities().tier is not None
        return False

    def evaluate(self, spec, seconds=300, patience=READY_SECONDS):
        """The outcome of an attempt that is run to its end, and then forgotten by the runner.

        While the runner proves its sandboxes again, one asks again, as an agent does. Raises Unreachable.
        """
        give_up = time.monotonic() + patience
        with self.link() as link:
            while True:
                try:
                    link.put(spec)
                    return self.outcome(spec, seconds)
                except Unreachable:
                    if time.monotonic() > give_up:
                        raise
                    time.sleep(0.5)

    def outcome(self, spec, seconds=300):
        deadline = time.monotonic() + seconds
        with self.link() as link:
            while time.monotonic() < deadline:
                status = link.status(spec.attempt_id, 10)
                if status.outcome is not None:
                    link.delete(spec.attempt_id)
                    return status.outcome
        raise AssertionError(f"{spec.attempt_id} has not ended within {seconds} s")

    def wait_for_phase(self, spec, phase, seconds=60):
        with self.link() as link:
            until(
                lambda: (status := link.status(spec.attempt_id, 0)).phase == phase or status.outcome,
                seconds,
                f"{spec.attempt_id} is {phase}",
            )
            assert link.status(spec.attempt_id, 0).outcome is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, with_signal=signal.SIGTERM, seconds=60):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(with_signal)
            self.process.wait(seconds)
        return self.process and self.process.returncode

    def has_ended_well(self):
        """Whether it ended when it was told to. At its end uvicorn sends itself the signal again."""
        return self.end() in {0, -signal.SIGTERM} and "Traceback" not in self.log.read_text()

    def groups(self):
        """The folders of its cgroups, in every hierarchy: the runner's own and those of its sandboxes."""
        names = {
            Path(target).name
            for target in _links(f"/proc/{self.process.pid}/fd")
            if target.startswith(str(CGROUPS)) and Path(target).name.startswith(RUNNER_PREFIX)
        }
        own = [Path(root) / name for root, folders, _ in os.walk(CGROUPS) for name in names & set(folders)]
        return [Path(root) for top in own for root, _, _ in os.walk(top)]

    def sandboxes(self):
        """The processes of each sandbox, by its name."""
        found = {}
        for group in self.groups():
            if not group.name.startswith(RUNNER_PREFIX):
                found.setdefault(group.name, set()).update(_members(group))
        return found

    def waiting(self):
        """Those of the sandboxes that wait for an attempt: nothing was given to them yet."""
        empty = {folder.name for folder in self.data_folders() if not any(folder.iterdir())}
        return {name: members for name, members in self.sandboxes().items() if name in empty}

    def reserve(self):
        """The processes that wait for attempts: imported guests, and the server that forks them."""
        servers = (pids for name, pids in self.sandboxes().items() if name.startswith("fork-server"))
        return set().union(*self.waiting().values(), *servers)

    def processes(self):
        """Its descendants and the members of its cgroups."""
        return descendants_of(self.process.pid).union(*self.sandboxes().values())

    def data_folders(self):
        return sorted(path for path in (self.home / "sandboxes").glob("*/*") if path.is_dir())

    def holdings(self):
        pid = self.process.pid
        sizes = [path.lstat().st_size for path in _entries(self.home)]
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return Holdings(
            descriptors=len(os.listdir(f"/proc/{pid}/fd")),
            threads=len(os.listdir(f"/proc/{pid}/task")),
            resident_bytes=int(status["VmRSS"].split()[0]) * 1024,
            processes=len(self.processes()),
            cgroups=len(self.groups()),
            mounts=Path(f"/proc/{pid}/mountinfo").read_text().count(f"{self.home}"),
            data_folders=len(self.data_folders()),
            files=len(sizes),
            disk_bytes=sum(sizes),
        )


def _members(group):
    try:
        return {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    except OSError:
        return set()


def _links(folder):
    for name in os.listdir(folder):
        with suppress(OSError):
            yield os.readlink(f"{folder}/{name}")


def _entries(folder):
    for path in sorted(folder.rglob("*")):
        if os.path.lexists(path):
            yield path
