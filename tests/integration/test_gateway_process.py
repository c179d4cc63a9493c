"""The gateway as a process of its own, killed at its worst moments. The test plays the agent."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict

import httpx
import pytest
from fakes import FakeAgent, outcome

TOKEN = "family-token"
SOURCE = "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"
START_SECONDS = 60


class GatewayProcess:
    """`python -m gateway` on a unix socket; start, kill and start again on one state folder."""

    def __init__(self, home):
        self._home = home
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(home / "g.sock")), base_url="http://localhost", timeout=30
        )
        self.agent = FakeAgent(self.http, TOKEN)
        self.process = None

    def start(self):
        socket_path = self._home / "g.sock"
        socket_path.unlink(missing_ok=True)
        nowhere = f"unix:{self._home}/nowhere.sock"
        environment = os.environ | {
            "DELTANAS_HOME": str(self._home),
            "DELTANAS_GATEWAY_ADDRESS": f"unix:{socket_path}",
            "DELTANAS_GENERATOR_ADDRESS": nowhere,
            "DELTANAS_FILTER_ADDRESS": nowhere,
            "DELTANAS_RUNNER_ADDRESS": nowhere,
            "DELTANAS_SERVICE_TOKEN": TOKEN,
            "DELTANAS_LEASE_SECONDS": "2",
        }
        self.process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                assert self.http.get("/healthz").json() == {"status": "ok"}
                return
            except httpx.TransportError:
                assert self.process.poll() is None, "the gateway ended"
                assert time.monotonic() < deadline, "the gateway does not answer"
                time.sleep(0.05)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def submit(self, **fields):
        answer = self.http.post("/v1/evaluations", json={"source": SOURCE, "dataset": "digits", **fields})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def read(self, evaluation_id, **query):
        return self.http.get(f"/v1/evaluations/{evaluation_id}", params=query).json()


@contextmanager
def running(home):
    gateway = GatewayProcess(home)
    gateway.start()
    try:
        gateway.agent.heartbeat()
        yield gateway
    finally:
        gateway.kill()


@pytest.fixture
def gateway(tmp_path):
    with running(tmp_path) as started:
        yield started


def test_a_killed_gateway_loses_nothing_it_accepted_and_counts_nothing_twice(gateway):
    waiting, in_flight, done = (gateway.submit(seed=seed) for seed in range(3))
    claims = {}
    for _ in range(2):
        claimed = gateway.agent.claim_next()
        claims[claimed.spec.evaluation_id] = claimed
    assert set(claims) == {waiting, in_flight}
    assert gateway.agent.report(claims[waiting], 0.4).status_code == 204
    claims[done] = gateway.agent.claim_next()
    assert gateway.agent.report(claims[done], 0.6).status_code == 204
    last = gateway.submit(seed=9)
    gateway.kill()
    gateway.start()
    assert gateway.read(waiting)["measurement"]["accuracy"] == 0.4
    assert gateway.read(done)["measurement"]["accuracy"] == 0.6
    assert gateway.read(last)["state"] == "queued"
    # The agent was still at work, comes back in time, and its claim still holds.
    assert gateway.agent.keep(claims[in_flight]).json() == {"cancel": False}
    assert gateway.agent.report(claims[in_flight], 0.5).status_code == 204
    ended = gateway.read(in_flight)
    assert (ended["state"], len(ended["attempts"])) == ("succeeded", 1)


def test_a_report_whose_answer_was_lost_is_taken_once(gateway):
    evaluation = gateway.submit()
    claimed = gateway.agent.claim_next()
    gateway.agent.report(claimed, 0.5)
    gateway.kill()
    gateway.start()
    assert gateway.agent.report(claimed, 0.5).status_code == 204
    assert len(gateway.read(evaluation)["attempts"]) == 1


def test_work_of_an_agent_that_vanished_goes_to_the_next(gateway):
    evaluation = gateway.submit()
    lost = gateway.agent.claim_next()
    other = FakeAgent(gateway.http, TOKEN, "agent-2")
    other.heartbeat()
    found = other.next(wait=20)
    claimed = other.claim(found)
    assert claimed.spec.fence > lost.spec.fence
    assert other.report(claimed, 0.7).status_code == 204
    assert gateway.agent.send(lost, asdict(outcome(lost.spec))).status_code == 409
    assert gateway.read(evaluation)["measurement"]["accuracy"] == 0.7


def test_events_arrive_while_they_happen(gateway):
    evaluation = gateway.submit()
    seen = []
    with gateway.http.stream("GET", f"/v1/evaluations/{evaluation}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event:"):
                seen.append(line.removeprefix("event: "))
                if seen == ["queued"]:
                    claimed = gateway.agent.claim_next()
                if seen == ["queued", "running"]:
                    gateway.agent.report(claimed)
    assert seen == ["queued", "running", "finished"]


def test_waiting_callers_do_not_keep_others_from_being_served(gateway):
    """60 waits and followers at once: more than there are worker threads."""
    evaluation = gateway.submit()
    path = str(gateway.http._transport._pool._uds)
    request = (
        f"GET /v1/evaluations/{evaluation}?wait=30 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ).encode()
    waiters = []
    for _ in range(60):
        waiter = socket.socket(socket.AF_UNIX)
        waiter.connect(path)
        waiter.sendall(request)
        waiter.settimeout(20)
        waiters.append(waiter)
    started = time.monotonic()
    assert gateway.http.get("/v1/capabilities").status_code == 200
    assert time.monotonic() - started < 10
    gateway.agent.report(gateway.agent.claim_next())
    for waiter in waiters:
        answer = b"".join(iter(lambda waiter=waiter: waiter.recv(65536), b""))
        assert b'"succeeded"' in answer
        waiter.close()


def test_a_gateway_told_to_stop_stops_although_somebody_waits(gateway):
    evaluation = gateway.submit()
    waiter = socket.socket(socket.AF_UNIX)
    waiter.connect(str(gateway.http._transport._pool._uds))
    waiter.sendall(f"GET /v1/evaluations/{evaluation}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    time.sleep(0.3)
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(20) in {0, -signal.SIGTERM}


def refused(home, address):
    """What a gateway says on this home that cannot start."""
    environment = os.environ | {"DELTANAS_HOME": str(home), "DELTANAS_GATEWAY_ADDRESS": address}
    command = [sys.executable, "-m", "gateway"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    return ended.stderr


def test_a_second_gateway_on_the_same_folder_says_so_and_ends(gateway, tmp_path):
    assert "another gateway already runs" in refused(tmp_path, f"unix:{tmp_path}/second.sock")
    assert gateway.http.get("/healthz").status_code == 200


def test_a_public_address_without_keys_says_so_and_ends(tmp_path):
    assert "needs API keys" in refused(tmp_path, "http://0.0.0.0:0")


def test_it_stops_at_once_although_people_wait_and_follow(tmp_path):
    with running(tmp_path) as gateway, ThreadPoolExecutor(2) as people:
        evaluation = gateway.submit()
        waiting = people.submit(gateway.read, evaluation, wait=30)
        following = people.submit(gateway.http.get, f"/v1/evaluations/{evaluation}/events")
        time.sleep(0.5)
        began = time.monotonic()
        gateway.process.terminate()
        gateway.process.wait(20)
        assert time.monotonic() - began < 12
        assert waiting.result(5)["state"] == "queued"
        assert "event: queued" in following.result(5).text
