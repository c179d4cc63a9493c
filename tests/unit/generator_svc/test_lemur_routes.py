"""A wheel over HTTP: bounded on its way in, a stream of lines on its way out, nothing left behind."""

import asyncio
import gc
import os

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from lemur_wheels import SOURCE, results_at, row, wheel
from pydantic import TypeAdapter

from contracts.jobs import NetworkImportLine
from generator_svc import routes_lemur
from generator_svc.seeds.lemur import LemurWheel, archive

WHEEL = wheel({"ab/nn/nn/A.py": SOURCE, "ab/nn/nn/B.py": "x = (", results_at("A"): [row(0.5)]}).getvalue()


@pytest.fixture
def client(tmp_path):
    app = FastAPI()
    routes_lemur.add_lemur_routes(app, tmp_path)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def send(client, body, origin="lemur"):
    return client.post(routes_lemur.READ_NETWORKS_PATH, params={"origin": origin}, content=body)


def lines_of(answer):
    return [TypeAdapter(NetworkImportLine).validate_json(line) for line in answer.text.splitlines()]


def test_a_wheel_is_answered_with_its_networks_and_a_summary(client, tmp_path):
    answer = send(client, WHEEL)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    total, network, refused, summary = lines_of(answer)
    assert (total.total, network.network.name, refused.refused.name) == (2, "lemur/A", "lemur/B")
    assert (summary.summary.networks, summary.summary.refused) == (1, {"syntax_error": 1})
    assert os.listdir(tmp_path) == []


def test_one_wheel_after_the_other_is_read(client):
    assert [send(client, WHEEL).status_code for _ in range(3)] == [200] * 3
    assert send(client, b"no wheel").status_code == 422
    assert send(client, WHEEL).status_code == 200


def test_what_is_no_wheel_gets_a_problem(client):
    answer = send(client, b"no wheel")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["code"] == "wheel_not_a_zip"
    assert "nn-dataset" in answer.json()["remedy"]
    assert send(client, WHEEL, origin="elsewhere").status_code == 422


def test_a_stream_without_end_is_cut_off(client, monkeypatch):
    monkeypatch.setattr(routes_lemur, "MAX_WHEEL_BYTES", 100_000)
    sent = []

    def endless():
        while len(sent) < 1000:
            sent.append(1)
            yield bytes(10_000)

    assert send(client, endless()).status_code == 413


def test_damage_that_shows_late_ends_the_stream_with_a_failure(client, monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 300)
    last = lines_of(send(client, WHEEL))[-1]
    assert (last.summary, last.failed["code"]) == (None, "wheel_too_much_content")


def test_while_a_wheel_is_read_another_is_put_off(client, monkeypatch):
    answers = []

    def slow(file):
        answers.append(send(client, WHEEL))
        return LemurWheel(file)

    monkeypatch.setattr(routes_lemur, "LemurWheel", slow)
    assert send(client, WHEEL).status_code == 200
    assert [answer.status_code for answer in answers] == [409]
    assert answers[0].json()["code"] == "import_running"


def test_a_client_that_leaves_ends_the_reading(client, monkeypatch):
    monkeypatch.setattr(routes_lemur, "CHUNK_BYTES", 1)

    async def leave() -> bool:
        """Send the wheel, take one chunk, hang up; returns whether it was answered at all."""
        sent, gone = [], asyncio.Event()
        incoming = [{"type": "http.request", "body": WHEEL, "more_body": False}]

        async def receive():
            if incoming:
                return incoming.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if message.get("body"):
                gone.set()
                await asyncio.sleep(60)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": routes_lemur.READ_NETWORKS_PATH,
            "raw_path": routes_lemur.READ_NETWORKS_PATH.encode(),
            "root_path": "",
            "query_string": b"origin=lemur",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await client.app(scope, receive, send)
        return sent[0]["status"] == 200

    gc.disable()
    try:
        assert asyncio.run(leave())
        assert send(client, WHEEL).status_code == 200
    finally:
        gc.enable()


def test_a_full_disk_is_not_the_wheels_fault(client, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(routes_lemur.tempfile, "TemporaryFile", full)
    answer = send(client, WHEEL)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_room")
