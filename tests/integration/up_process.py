"""`deltanas` as processes of their own, on homes of their own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

DELTANAS = str(Path(sys.executable).with_name("deltanas"))
LAUNCHER = "sandbox_runner.sandboxes.docker.launcher"
MODULES = ("sandbox_runner", "generator_svc", "filter_svc", "gateway", "sandbox_runner.agent", LAUNCHER)


def until(condition, seconds, what):
    """The first true answer of `condition`, asked for at most so long."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass(frozen=True)
class Home:
    """A state folder, and commands on it."""

    path: Path

    @property
    def environment(self):
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "DELTANAS_HOME": str(self.path),
            "SECRET": "s3cret",
        }

    def start(self, *words):
        return subprocess.Popen(
            [DELTANAS, *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words, seconds=120):
        return subprocess.run(
            [DELTANAS, *words], env=self.environment, capture_output=True, text=True, timeout=seconds
        )


@dataclass(frozen=True)
class Up:
    """A running `deltanas up`."""

    process: subprocess.Popen
    address: str

    @classmethod
    def started(cls, home):
        process = home.start("up", "--port", "0")
        for line in process.stdout:
            if line.startswith("serving "):
                return cls(process, line.split()[1])
        raise AssertionError("it ended before it served")

    def children(self):
        """Process ids by module."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == self.process.pid and words[1:2] == [b"-m"]:
                found[words[2].decode()] = int(entry.name)
        return found

    def end(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=20)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
