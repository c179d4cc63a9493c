"""Servers of OpenAI's chat interface that are not ours, as processes: `transformers serve`, and vLLM."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
from processes import until

START_SECONDS = 240
"""Importing torch and loading weights on a busy machine."""
OF_VLLM = Path(__file__).parents[2] / ".vllm" / "bin" / "python"
"""vLLM wants another torch than this project: `make .vllm/.installed` gives it an environment of its own."""


def transformers_serve(model_folder: Path, home: Path) -> "OpenAIServerProcess":
    """Serves the model of one folder, under the folder's path as its name."""
    # It lists what lies in its cache of downloads, and fails without one.
    (home / "hub").mkdir(parents=True)
    program = [str(Path(sys.executable).with_name("transformers")), "serve", str(model_folder)]
    program += ["--device", "cpu"]
    return OpenAIServerProcess(str(model_folder), program, {"HF_HOME": str(home)}, home / "server.log")


def vllm_serve(model_folder: Path, adapters: Mapping[str, Path], home: Path) -> "OpenAIServerProcess":
    """Serves the model of one folder as `base`, in float32, and folders of adapters by their names."""
    assert OF_VLLM.exists(), "make .vllm/.installed brings vLLM"
    home.mkdir(parents=True)
    program = [str(OF_VLLM), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model_folder)]
    program += ["--served-model-name", "base", "--dtype", "float32"]
    program += ["--max-model-len", "2048", "--enforce-eager"]
    program += ["--enable-lora", "--max-lora-rank", "32", "--lora-modules"]
    program += [f"{name}={folder}" for name, folder in adapters.items()]
    offline = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HOME": str(home)}
    return OpenAIServerProcess("base", program, offline, home / "server.log")


class OpenAIServerProcess:
    """One such server on a port of its own. `model` is what it calls its model."""

    def __init__(self, model: str, program: list[str], settings: Mapping[str, str], log: Path) -> None:
        self.model = model
        with socket.create_server(("127.0.0.1", 0)) as unused:
            self._port = unused.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self._port}/v1"
        self._words = [*program, "--host", "127.0.0.1", "--port", str(self._port)]
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            **self._settings,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            until(
                self._answers, START_SECONDS, lambda: f"a server that answers: {self._log.read_text()[-800:]}"
            )
        except BaseException:
            self.kill()  # nobody else would: it is in a session of its own
            raise

    def kill(self) -> None:
        """End it, and the processes that it has for itself, as a machine that loses power would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-800:]
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self._port}/health", timeout=5).status_code == 200
        return False
