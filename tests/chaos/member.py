"""One process of a farm that a test kills, and starts again as a service manager would."""

import os
import subprocess
import sys
from pathlib import Path


class Member:
    """`python -m module …` with its environment spelled out and its words kept. It ends with the test run."""

    def __init__(
        self,
        name: str,
        module: str,
        folder: Path,
        settings: dict[str, str],
        arguments: tuple[str, ...] = (),
        within: tuple[str, ...] = (),
    ) -> None:
        """`settings`: without `DELTANAS_`. `within`: a command that runs it in other surroundings."""
        self.name = name
        self.home = folder / name
        self.home.mkdir(mode=0o755)
        self.log = folder / f"{name}.log"
        self._command = ["setpriv", "--pdeathsig", "KILL", *within, sys.executable, "-m", module, *arguments]
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "DELTANAS_HOME": str(self.home),
            "DELTANAS_LOG_FORMAT": "text",
            **{f"DELTANAS_{key.upper()}": value for key, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """From the test's main thread: a process ends with the thread that started it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def words(self) -> str:
        """The last that it said."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""
