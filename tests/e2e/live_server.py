"""`deltanas up` as a process, and a small cut of real Fashion-MNIST to feed it."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from processes import modules_run_by

DELTANAS = str(Path(sys.executable).with_name("deltanas"))
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
DATASET = "small-fashion"


def read_idx(file: Path, header_bytes: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header_bytes)


def small_fashion_mnist(file: Path) -> Path:
    """2,000 training and 1,000 evaluation images of the real data set, as an .npz."""
    train = read_idx(FASHION_MNIST / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:2000]
    test = read_idx(FASHION_MNIST / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:1000]
    train_labels = read_idx(FASHION_MNIST / "train-labels-idx1-ubyte.gz", 8)[:2000]
    test_labels = read_idx(FASHION_MNIST / "t10k-labels-idx1-ubyte.gz", 8)[:1000]
    np.savez(file, x_train=train, y_train=train_labels, x_test=test, y_test=test_labels)
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """`deltanas up` on a home of its own."""

    home: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "DELTANAS_HOME": str(self.home)}

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=90)

    def start(self) -> None:
        log = (self.home / "up.log").open("ab")
        self.process = subprocess.Popen(
            [DELTANAS, "up", "--port", str(self.port)], env=self.environment, stdout=log, stderr=log
        )
        self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.http.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError("the server did not become ready:\n" + (self.home / "up.log").read_text())

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(with_signal)
        self.process.wait(timeout=30)

    def services(self) -> dict[str, int]:
        """The process ids of the running services, by module."""
        return modules_run_by(self.process.pid) if self.process else {}

    def cli(self, *words: str, seconds: float = 240) -> subprocess.CompletedProcess:
        return subprocess.run(
            [DELTANAS, *words], env=self.environment, capture_output=True, text=True, timeout=seconds
        )

    def finished_search(self, search_id: str, seconds: float = 400) -> dict:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            search = self.http.get(f"/v1/searches/{search_id}").json()
            if search["state"] in {"succeeded", "failed", "cancelled"}:
                return search
            time.sleep(0.5)
        raise AssertionError(f"the search did not finish: {json.dumps(search)[:2000]}")
