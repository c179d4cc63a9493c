"""A real gateway process on SQLite or PostgreSQL, as the product ships both, and what it weighs."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from fakes import FakeAgent
from postgres_server import PostgresServer, binaries

TOKEN = "family-token"
SOURCE = "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"
START_SECONDS = 900
"""Much longer than it takes, but for a machine that does ten other things."""
HEARTBEAT_SECONDS = 3.0
DATABASES = ("sqlite", "postgresql")


class LoadedGateway:
    """`python -m gateway` on a port of its own. `slots`: of its one agent, which is a fake."""

    def __init__(self, home: Path, database_url: str | None, slots: int = 2) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        self.url = f"http://127.0.0.1:{self.port}"
        nowhere = f"unix:{home}/nowhere.sock"
        settings = {
            "DELTANAS_HOME": str(home),
            "DELTANAS_GATEWAY_ADDRESS": self.url,
            "DELTANAS_GENERATOR_ADDRESS": nowhere,
            "DELTANAS_FILTER_ADDRESS": nowhere,
            "DELTANAS_RUNNER_ADDRESS": nowhere,
            "DELTANAS_SERVICE_TOKEN": TOKEN,
            "DELTANAS_MAX_OPEN_EVALUATIONS": "10000000",
            **({} if database_url is None else {"DELTANAS_DATABASE_URL": database_url}),
        }
        self._log = (home / "gateway.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            env={"PATH": os.environ["PATH"], "HOME": str(home), **settings},
            cwd=Path(__file__).parents[3],
            stdout=self._log,
            stderr=self._log,
        )
        self.http = httpx.Client(base_url=self.url, timeout=120)
        self._await_answers()
        self._slots = slots
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._stay_alive)
        self._beating.start()
        while not self.http.get("/v1/capabilities").json()["agents"]:
            time.sleep(0.1)

    def _stay_alive(self) -> None:
        """An agent that knows the data set; without one nothing is accepted."""
        with httpx.Client(base_url=self.url, timeout=120) as http:
            agent = FakeAgent(http, TOKEN)
            while not self._over.is_set():
                # A gateway that is asked for too much may refuse one; the next comes soon.
                with suppress(AssertionError, httpx.HTTPError):
                    agent.heartbeat(slots=self._slots)
                self._over.wait(HEARTBEAT_SECONDS)

    def _await_answers(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self.home / "gateway.log").read_text()[-4000:])
            try:
                self.http.get("/healthz").raise_for_status()
                return
            except httpx.TransportError:
                time.sleep(0.1)

    def submit(self, count: int, first_seed: int = 0) -> list[str]:
        """Ids of so many different evaluations, sent in batches."""
        ids: list[str] = []
        for begin in range(first_seed, first_seed + count, 100):
            seeds = range(begin, min(begin + 100, first_seed + count))
            answer = self.http.post("/v1/evaluations:batch", json={"items": [body(seed) for seed in seeds]})
            answer.raise_for_status()
            ids += [item["evaluation"]["id"] for item in answer.json()["items"]]
        return ids

    def resident_bytes(self) -> int:
        """Memory that it has in use now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """What it has computed so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._beating.join()
        self.http.close()
        self._process.kill()
        self._process.wait()
        self._log.close()


def body(seed: int) -> dict[str, object]:
    """An evaluation that no other one answers."""
    return {"source": SOURCE, "dataset": "digits", "seed": seed, "reuse": False}


@contextmanager
def gateway_on(database: str, slots: int = 2) -> Iterator[LoadedGateway]:
    """A gateway with an empty database. PostgreSQL waits for the disk at every commit, as it ships."""
    home = Path(tempfile.mkdtemp(prefix="bench-load-"))
    server = PostgresServer(durable=True) if database == "postgresql" else None
    gateway = None
    try:
        if server is not None:
            server.start()
        url = None if server is None else server.url(server.empty_database())
        gateway = LoadedGateway(home, url, slots)
        yield gateway
    finally:
        if gateway is not None:
            gateway.close()
        if server is not None:
            server.close()
        shutil.rmtree(home, ignore_errors=True)


def databases() -> list[str]:
    """Those that this machine has."""
    return [name for name in DATABASES if name != "postgresql" or binaries() is not None]
