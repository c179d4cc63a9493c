"""A full disk, of a database server or of a gateway on SQLite: a clear refusal, nothing acknowledged lost."""

import os
import tempfile
import time

import pytest
from ledger import SMALLEST, Ledger, slow
from postgres_server import PostgresServer
from small_disks import SmallDisk
from test_gateway_process import running
from whole_farm import START_SECONDS, running_farm

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")

SERVERS_DISK_MB = 200
GATEWAYS_DISK_MB = 8
FULL_SECONDS = 10
MOST_TRIES = 2000


@pytest.fixture
def servers_disk(folder, monkeypatch):
    """Where PostgreSQL lies, its log of changes included."""
    disk = SmallDisk(folder / "disk", SERVERS_DISK_MB)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    yield disk
    disk.remove()


@pytest.fixture
def farm(folder, servers_disk):
    def make_server():
        return PostgresServer(options=("max_wal_size=48MB", "min_wal_size=32MB"))

    with running_farm(folder, make_server) as farm:
        yield farm


@pytest.fixture
def gateways_disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk", GATEWAYS_DISK_MB)
    yield disk
    disk.remove()


def refused(submit):
    """The first refusal of many submissions."""
    for _ in range(MOST_TRIES):
        answer = submit()
        if answer is not None:
            return answer
    raise AssertionError("the disk is full, and everything is taken on")


def assert_is_clear(answer):
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "storage_unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_a_farm_whose_database_has_no_room_refuses_and_goes_on_once_there_is_some(farm, servers_disk):
    ledger = Ledger(farm, "full-disk")
    ledger.start_search()
    ledger.submit(4, source=slow(FULL_SECONDS / 2))
    farm.tend_until(lambda: ledger.running > 0)
    servers_disk.fill()
    answer = refused(ledger.try_once)
    assert_is_clear(answer)
    print(answer.json()["detail"])
    time.sleep(FULL_SECONDS)
    servers_disk.make_room()
    print(f"PostgreSQL runs: {farm.postgres.process.poll() is None}; {len(ledger.accepted)} were taken on")
    ledger.submit(2)
    ledger.wait_until_over(START_SECONDS)
    print(dict(ledger.settle_up()))


def test_a_gateway_whose_own_disk_is_full_refuses_and_goes_on_once_there_is_room(gateways_disk):
    home = gateways_disk.folder / "home"
    home.mkdir()
    with running(home) as gateway:
        accepted = [gateway.submit(seed=seed) for seed in range(3)]
        claimed = gateway.agent.claim_next()
        gateways_disk.fill()

        def submit():
            body = SMALLEST | {"seed": len(accepted), "dataset": "digits"}
            answer = gateway.http.post("/v1/evaluations", json=body)
            if answer.status_code != 202:
                return answer
            accepted.append(answer.json()["id"])
            return None

        assert_is_clear(refused(submit))
        ready = gateway.http.get("/readyz")
        assert ready.status_code == 503
        assert any(word in str(ready.json()["reasons"]) for word in ("disk", "database")), ready.text
        assert gateway.agent.report(claimed).status_code == 503
        assert {gateway.read(evaluation)["id"] for evaluation in accepted} == set(accepted)

        gateways_disk.make_room()
        gateway.agent.heartbeat()
        # Kept, unless its lease has run out meanwhile: then it is run again.
        assert gateway.agent.report(claimed).status_code in {204, 409}
        accepted.append(gateway.submit(seed=1000))
        while attempt_id := gateway.agent.next(wait=10):
            gateway.agent.heartbeat()
            gateway.agent.report(gateway.agent.claim(attempt_id))
        ended = [gateway.read(evaluation) for evaluation in accepted]
        assert {document["state"] for document in ended} == {"succeeded"}
        for document in ended:
            assert [attempt["state"] for attempt in document["attempts"]].count("reported") == 1
