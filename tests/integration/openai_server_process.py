"""`transformers serve` as a process of its own: a server of OpenAI's chat interface that is not ours."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
from processes import until

START_SECONDS = 240
"""Importing torch and loading weights on a busy machine."""


class OpenAIServerProcess:
    """Serves the model of one folder, under the folder's path as its name."""

    def __init__(self, model_folder: Path, home: Path) -> None:
        self.model = str(model_folder)
        self._home = home
        # It lists what lies in its cache of downloads, and fails without one.
        (home / "hub").mkdir(parents=True)
        self._log = home / "server.log"
        with socket.create_server(("127.0.0.1", 0)) as unused:
            self._port = unused.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self._port}/v1"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = str(Path(sys.executable).with_name("transformers"))
        words = ["serve", self.model, "--device", "cpu", "--host", "127.0.0.1", "--port", str(self._port)]
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "HF_HOME": str(self._home),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, *words], env=environment, stdout=log, stderr=log)
        until(self._answers, START_SECONDS, lambda: f"a server that answers: {self._log.read_text()[-800:]}")

    def kill(self) -> None:
        """End it as a machine that loses power would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-800:]
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self._port}/health", timeout=5).status_code == 200
        return False
