"""The filter as its own process: it answers over a socket, survives being killed, and is quick enough."""

import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from contracts.service_gate import token_digest
from filter_svc.index import NoveltyIndex
from filter_svc.stores.file import FileStore

pytestmark = pytest.mark.slow

SCOPE = "search:se_0a"
NETWORKS = Path(__file__).parents[2] / "generator_svc" / "seeds" / "networks"


class FilterProcess:
    """One filter on one home; to be started again after it was killed."""

    def __init__(self, home):
        self.home = home
        self.address = f"{home}/filter.sock"
        self.client = httpx.Client()
        self.start()

    def start(self):
        environment = {
            "PATH": os.environ["PATH"],
            "DELTANAS_HOME": str(self.home),
            "DELTANAS_FILTER_ADDRESS": f"unix:{self.address}",
            "DELTANAS_SERVICE_TOKEN_SHA256": token_digest("secret"),
        }
        self.client.close()
        self.process = subprocess.Popen([sys.executable, "-m", "filter_svc"], env=environment)
        self.client = httpx.Client(
            transport=httpx.HTTPTransport(uds=self.address),
            base_url="http://localhost",
            headers={"Authorization": "Bearer secret"},
            timeout=30,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the filter did not become ready")

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(30)

    def admit(self, proposal_id, source, scope=SCOPE):
        body = {"scope": scope, "source": source, "label": ""}
        return self.client.put(f"/v1/architectures/{proposal_id}", json=body)

    def screen(self, source, scope=SCOPE):
        body = {"scope": scope, "proposal_id": "new", "source": source, "threshold": 0.9}
        return self.client.post("/v1/screenings", json=body).json()

    def count(self, scope=SCOPE):
        return self.client.get(f"/v1/scopes/{scope}").json()["architectures"]


@pytest.fixture
def novelty(tmp_path):
    process = FilterProcess(tmp_path)
    yield process
    process.kill()
    process.client.close()


def variants(count, seed=0):
    """Real networks with some of their numbers changed."""
    rng = random.Random(seed)
    sources = [path.read_text() for path in sorted(NETWORKS.glob("*.py"))]
    for _ in range(count):
        source = rng.choice(sources)
        for _ in range(rng.randrange(1, 25)):
            number = rng.choice(list(re.finditer(r"(?<![\w.])\d+(?![\w.])", source)))
            source = source[: number.start()] + str(rng.randrange(1, 500)) + source[number.end() :]
        yield source


def test_what_was_admitted_before_a_kill_is_known_after_it(novelty):
    sources = list(variants(12))
    admitted = [
        f"p{number}"
        for number, source in enumerate(sources)
        if novelty.admit(f"p{number}", source).is_success
    ]
    novelty.kill()
    novelty.start()
    assert novelty.count() == len(admitted) == 12
    assert all(novelty.screen(source)["layer"] == "exact" for source in sources)


def test_killed_in_the_midst_of_admissions_it_has_kept_all_that_it_confirmed(novelty):
    confirmed = []

    def admit(item):
        number, source = item
        try:
            if novelty.admit(f"p{number}", source).status_code == 204:
                confirmed.append(source)
        except httpx.TransportError:
            pass

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(admit, item) for item in enumerate(variants(200, seed=1))]
        while len(confirmed) < 20:
            time.sleep(0.01)
        novelty.kill()
        for future in futures:
            future.result(60)
    novelty.start()
    assert 20 <= len(confirmed) <= novelty.count() < 200
    assert all(novelty.screen(source)["novel"] is False for source in confirmed)


def test_a_terminated_filter_lets_go_of_the_index(novelty):
    novelty.admit("p1", next(variants(1)))
    novelty.kill(signal.SIGTERM)
    novelty.start()
    assert novelty.count() == 1


@pytest.mark.parametrize("architectures", [200, pytest.param(1000, marks=pytest.mark.full)])
def test_a_screening_is_quick_however_many_architectures_are_known(tmp_path, architectures):
    index = NoveltyIndex(FileStore(tmp_path / "filter" / "index.db"))
    for number, source in enumerate(variants(architectures, seed=2)):
        index.admit(SCOPE, f"p{number}", source)
    index.close()
    novelty = FilterProcess(tmp_path)
    novelty.screen(next(variants(1)))
    seconds = []
    for source in variants(60, seed=3):
        started = time.perf_counter()
        assert len(novelty.screen(source)["nearest"]) == 5
        seconds.append(time.perf_counter() - started)
    novelty.kill()
    # 20 ms is the aim on an idle machine; ten times that leaves room for a busy one.
    assert statistics.median(seconds) < 0.2, seconds
    print(f"median {statistics.median(seconds) * 1e3:.1f} ms, longest {max(seconds) * 1e3:.1f} ms")


def test_a_screening_is_answered_while_hundreds_of_architectures_are_compared(novelty):
    sources = list(variants(150, seed=4))
    novelty.admit("p1", sources[0])
    body = b"".join(
        json.dumps({"id": f"n{number}", "source": source}).encode() + b"\n"
        for number, source in enumerate([*sources, sources[0] + "# again\n"])
    )
    screened = []
    lines = []
    with novelty.client.stream("POST", "/v1/architectures:near", content=iter([body])) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            lines.append(json.loads(line))
            if len(lines) == 1:
                screened.append(novelty.screen(sources[0])["layer"])
    assert screened == ["exact"]
    assert {"copy": {"id": "n150", "of": "n0"}} in lines
    assert lines[-1] == {"compared": 150}
    near = [line["near"] for line in lines if "near" in line]
    assert len(near) > 150
    assert all(0.5 <= pair["jaccard"] <= 1 and pair["first"] < pair["second"] for pair in near)
