"""`deltanas` as processes of their own, on homes of their own."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from processes import modules_run_by

DELTANAS = str(Path(sys.executable).with_name("deltanas"))
LAUNCHER = "sandbox_runner.sandboxes.docker.launcher"
MODULES = ("sandbox_runner", "generator_svc", "filter_svc", "gateway", "sandbox_runner.agent", LAUNCHER)


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
                return cls(process, line.split()[1].rstrip(","))
        raise AssertionError("it ended before it served")

    def children(self):
        """Process ids by module."""
        return modules_run_by(self.process.pid)

    def end(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=20)
