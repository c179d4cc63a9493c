"""Imports and smoke runs where the gateway is killed or its disk is full. The test plays reader and agent."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from fakes import FakeAgent, outcome

from contracts.measurements import SmokeResult

pytestmark = pytest.mark.slow

TOKEN = "family-token"
START_SECONDS = 90
NETWORKS = 900
"""Several batches."""
FILE = os.urandom(3_000_000)


def network_line(number: int, padding: int) -> dict:
    source = f"import torch\n\n\nclass Net(torch.nn.Module):\n    number = {number}\n#{'x' * padding}\n"
    result = {
        "dataset": "digits",
        "first_epoch_accuracy": number / NETWORKS,
        "best_accuracy": 1.0,
        "best_epoch": 2,
        "hyperparameters": {"lr": 0.1},
    }
    network = {
        "name": f"lemur/net-{number:04d}",
        "family": "net",
        "contract": "lemur",
        "description": "",
        "source": source,
        "hyperparameters": {"lr": 0.1},
        "origin": "lemur",
        "licence": "MIT",
        "results": [result],
    }
    return {"network": network}


SUMMARY = {
    "summary": {
        "wheel": {
            "sha256": "0" * 64,
            "verified": False,
            "package": "nn-dataset",
            "version": "2.1.2",
            "licence": "MIT",
            "licence_text": "",
        },
        "networks": NETWORKS,
        "refused": {},
        "ignored_results": {},
    }
}


class PlayedReader:
    """The generator on a real port: gives as many networks as it is told to, then falls silent."""

    def __init__(self) -> None:
        self.total = NETWORKS
        self.gives = NETWORKS
        self.padding = 0
        """Bytes more in each source."""
        self.gave = threading.Event()
        self.go_on = threading.Event()
        self.bodies: list[bytes] = []
        reader = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"items": [], "status": "ok"}')

            def do_POST(self) -> None:
                reader.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()
                given = min(reader.gives, reader.total)
                lines = [{"total": reader.total}, *(network_line(n, reader.padding) for n in range(given))]
                self.wfile.write("".join(json.dumps(line) + "\n" for line in lines).encode())
                self.wfile.flush()
                reader.gave.set()
                if given < reader.total:
                    reader.go_on.wait(120)
                else:
                    self.wfile.write(json.dumps(SUMMARY).encode() + b"\n")

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


class Gateway:
    """`python -m gateway` on a unix socket; start, kill and start again on one state folder."""

    def __init__(self, home, reader: PlayedReader) -> None:
        self.home = home
        self._reader = reader
        transport = httpx.HTTPTransport(uds=str(home / "g.sock"))
        self.http = httpx.Client(transport=transport, base_url="http://localhost", timeout=60)
        self.agent = FakeAgent(self.http, TOKEN)
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        socket_path = self.home / "g.sock"
        socket_path.unlink(missing_ok=True)
        nowhere = f"unix:{self.home}/nowhere.sock"
        environment = os.environ | {
            "DELTANAS_HOME": str(self.home),
            "DELTANAS_GATEWAY_ADDRESS": f"unix:{socket_path}",
            "DELTANAS_GENERATOR_ADDRESS": self._reader.address,
            "DELTANAS_FILTER_ADDRESS": nowhere,
            "DELTANAS_RUNNER_ADDRESS": nowhere,
            "DELTANAS_SERVICE_TOKEN": TOKEN,
        }
        self._process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment)
        until(self._answers, START_SECONDS)
        self.agent.heartbeat()

    def _answers(self) -> bool:
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def get(self, path: str, **query) -> dict:
        return self.http.get(path, params=query).json()

    def names(self) -> list[str]:
        return [item["name"] for item in self.get("/v1/baselines", origin="lemur", limit=500)["items"]]


def until(holds, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come so far in time"
        time.sleep(0.05)


@pytest.fixture
def reader():
    played = PlayedReader()
    yield played
    played.close()


@pytest.fixture
def gateway(tmp_path, reader):
    started = Gateway(tmp_path, reader)
    started.start()
    yield started
    started.kill()


def send(gateway, content):
    headers = {"content-type": "application/octet-stream"}
    return gateway.http.post("/v1/baselines:import?origin=lemur", content=content, headers=headers)


def upload(gateway) -> str:
    answer = send(gateway, FILE)
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


def test_an_import_killed_twice_goes_on_and_ends_with_every_network_once(gateway, reader):
    reader.gives = 450
    location = upload(gateway)
    for stored in (400, 800):
        # Killed with so many networks on disk, unseen by anybody.
        until(lambda stored=stored: gateway.get(location)["progress"]["stored"] >= stored)
        assert gateway.names() == []
        gateway.kill()
        reader.gives = 850 if stored == 400 else NETWORKS
        gateway.start()
    ended = gateway.get(location, wait=60)
    assert ended["state"] == "succeeded", ended
    progress = ended["progress"]
    assert (progress["total"], progress["read"], progress["stored"]) == (NETWORKS, NETWORKS, NETWORKS)
    assert reader.bodies == [FILE] * 3
    first = gateway.get("/v1/baselines", origin="lemur", limit=500)
    rest = gateway.get("/v1/baselines", origin="lemur", limit=500, cursor=first["next_cursor"])
    found = [item["name"] for item in first["items"] + rest["items"]]
    assert found == [f"lemur/net-{number:04d}" for number in range(NETWORKS)]
    assert list((gateway.home / "baseline-imports").iterdir()) == []


def test_an_upload_that_is_killed_half_way_leaves_nothing(gateway):
    def half():
        yield FILE[:1_500_000]
        gateway.kill()
        yield FILE[1_500_000:]

    with pytest.raises(httpx.TransportError):
        send(gateway, half())
    gateway.start()
    assert gateway.get("/v1/baselines/imports")["items"] == []
    assert list((gateway.home / "baseline-imports").iterdir()) == []


@pytest.mark.full
def test_a_smoke_run_killed_again_and_again_tries_every_network_once(gateway):
    assert gateway.get(upload(gateway), wait=60)["state"] == "succeeded"
    body = {"dataset": "digits", "limit": 9}
    run = gateway.http.post("/v1/baselines:smoke", json=body).headers["location"]
    tried = []
    for number in range(9):
        if number % 3 == 1:
            gateway.kill()
            gateway.start()
        claimed = gateway.agent.claim_next(wait=20)
        tried.append(claimed.spec.evaluation_id)
        result = SmokeResult(4, 0.1, 1.0, 1.0, 10**8, claimed_parameters=number)
        answer = replace(outcome(claimed.spec), measurement=None, smoke=result)
        assert gateway.agent.send(claimed, asdict(answer)).status_code == 204
        if number % 3 == 2:
            gateway.kill()
            gateway.start()
    ended = gateway.get(run, wait=30)
    assert (ended["state"], ended["progress"]["passed"]) == ("succeeded", 9)
    assert len(set(tried)) == 9
    evaluations = gateway.get("/v1/evaluations", limit=100)["items"]
    assert sorted(evaluation["id"] for evaluation in evaluations) == sorted(tried)
    assert len(gateway.get("/v1/baselines", usable_on="digits", origin="lemur")["items"]) == 9


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, with room for the database and one upload."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_gets_full_fails_the_import_and_keeps_what_was_there(small_disk, reader):
    gateway = Gateway(small_disk, reader)
    gateway.start()
    try:
        reader.total = 5
        assert gateway.get(upload(gateway), wait=60)["state"] == "succeeded"
        before = gateway.names()
        assert len(before) == 5
        reader.total, reader.padding = NETWORKS, 30_000
        failed = gateway.get(upload(gateway), wait=60)
        assert (failed["state"], failed["failure"]["code"]) == ("failed", "database_unwritable")
        assert "full" in failed["failure"]["message"]
        assert gateway.names() == before
        assert list((small_disk / "baseline-imports").iterdir()) == []
        refused = send(gateway, FILE * 6)
        assert (refused.status_code, refused.json()["code"]) == (507, "disk_full")
        assert list((small_disk / "baseline-imports").iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        reader.padding = 0
        assert gateway.get(upload(gateway), wait=60)["state"] == "succeeded"
        assert gateway.get("/v1/baselines/facets")["origins"] == [{"value": "lemur", "networks": NETWORKS}]
    finally:
        gateway.kill()
