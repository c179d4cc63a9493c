"""Many sources over HTTP: bounded on their way in, a stream of lines on the way out, nothing left behind."""

import asyncio
import gc
import json
import os
import threading

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from contracts.service_gate import token_digest
from contracts.training_pairs import NearnessLine
from filter_svc import line_spool, nearness, routes_nearness
from filter_svc.app import create_app
from filter_svc.config import FilterSettings

HEADERS = {"Authorization": "Bearer secret"}
NET = (
    "from torch import nn\n\n\nclass Net(nn.Module):\n    width, depth, name, rate = {}, 5, 'ü\u2028', 0.5\n"
)


@pytest.fixture
def client(tmp_path):
    settings = FilterSettings(home=tmp_path, service_token_sha256=token_digest("secret"))
    with TestClient(create_app(settings), headers=HEADERS, raise_server_exceptions=False) as opened:
        yield opened


def source_line(id_, source):
    return json.dumps({"id": id_, "source": source}).encode() + b"\n"


SMALL = source_line("a", NET.format(1))


def send(client, body, **query):
    return client.post(routes_nearness.NEAR_PATH, params=query, content=body)


def lines_of(answer):
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    lines = [TypeAdapter(NearnessLine).validate_json(line) for line in answer.text.splitlines()]
    return [line for line in lines if line.progress is None]


def test_sources_are_answered_with_copies_near_pairs_and_their_number(client, tmp_path):
    sources = {"a": NET.format(1), "b": NET.format(2), "c": NET.format(1) + "# again\n", "d": "x = ("}
    answer = send(client, b"\n".join(source_line(*item) for item in sources.items()), at_least=0.1)
    copy, not_comparable, near, compared = lines_of(answer)
    assert (copy.copy.id, copy.copy.of) == ("c", "a")
    assert not_comparable.not_comparable == "d"
    assert (near.near.first, near.near.second) == ("a", "b")
    assert 0.1 <= near.near.jaccard < 1
    assert compared.compared == 2
    assert os.listdir(tmp_path) == []


def test_the_answer_is_ascii_and_leaves_out_what_it_does_not_say(client):
    answer = send(client, source_line("ä", "no network"))
    assert answer.content.isascii()
    assert {"not_comparable": "ä"} in [json.loads(line) for line in answer.text.splitlines()]


def test_a_last_line_needs_no_newline_and_blank_ones_do_not_count(client):
    body = b"\n" + source_line("a", NET.format(1)) + b"  \n\n" + source_line("b", NET.format(2)).strip()
    assert lines_of(send(client, body))[-1].compared == 2
    assert lines_of(send(client, b""))[-1].compared == 0


def test_lines_may_come_in_pieces_of_any_size(client):
    body = b"".join(source_line(f"n{i}", NET.format(i)) for i in range(5))
    for size in (1, 7, 1000):
        pieces = (body[start : start + size] for start in range(0, len(body), size))
        assert lines_of(send(client, pieces))[-1].compared == 5


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"not json", "lines.2"),
        (b"[1]", "lines.2"),
        (b'{"id": "b"}', "lines.2.source"),
        (b'{"id": 3, "source": ""}', "lines.2.id"),
        (b'{"id": "", "source": ""}', "lines.2.id"),
        (b'{"id": "a", "source": ""}', "lines.2.id"),
        (b'{"id": "b\\n", "source": ""}', "lines.2.id"),
        (b'{"id": "b", "source": "\\ud800"}', "lines.2"),
        (b'{"id": "b", "source": "\xff"}', "lines.2"),
        (source_line("b", "#" * 70_000), "lines.2.source"),
        (source_line("b" * 201, ""), "lines.2.id"),
        (b"[" * 100_000, "lines.2"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_wrong_line_is_refused_before_anything_is_answered(client, tmp_path, line, field):
    answer = send(client, source_line("a", NET.format(1)) + line)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    document = answer.json()
    assert document["field"] == field
    assert document["remedy"]
    assert len(answer.content) < 2000
    assert os.listdir(tmp_path) == []
    assert send(client, SMALL).status_code == 200


@pytest.mark.parametrize(
    ("bound", "value", "field"),
    [("MAX_LINES", 1, "body"), ("MAX_LINE_BYTES", 100, "lines.1"), ("MAX_BODY_BYTES", 300, "body")],
)
def test_what_is_too_large_is_cut_off(client, monkeypatch, bound, value, field):
    monkeypatch.setattr(line_spool, bound, value)
    sent = []

    def endless():
        while len(sent) < 1000:
            sent.append(1)
            yield source_line(f"n{len(sent)}", NET.format(len(sent)))

    answer = send(client, endless())
    assert (answer.status_code, answer.json()["field"]) == (413, field)


def test_a_line_without_end_is_cut_off_while_it_comes(client, monkeypatch):
    monkeypatch.setattr(line_spool, "MAX_LINE_BYTES", 100_000)
    answer = send(client, (b"x" * 10_000 for _ in range(100)))
    assert (answer.status_code, answer.json()["field"]) == (413, "lines.1")


@pytest.mark.parametrize(
    "query",
    [
        {"at_least": 0},
        {"at_least": 1.1},
        {"at_least": "nan"},
        {"at_most": 0},
        {"neighbours": 0},
        {"neighbours": 1001},
    ],
)
def test_what_cannot_be_asked_for_is_refused(client, query):
    answer = send(client, SMALL, **query)
    assert answer.status_code == 422
    assert next(iter(query)) in answer.json()["field"]


def test_too_much_to_keep_ends_the_stream_with_a_failure(client, monkeypatch):
    monkeypatch.setattr("filter_svc.nearness.MAX_SHINGLES", 10)
    last = lines_of(send(client, SMALL))[-1]
    assert (last.compared, last.failed["code"]) == (None, "too_many_shingles")
    assert send(client, b"").status_code == 200


def test_while_sources_are_compared_others_are_put_off(client, monkeypatch):
    monkeypatch.setattr(routes_nearness, "NOTICING_SECONDS", 0.0)
    answers = []
    original = routes_nearness.nearness

    def slow(*arguments):
        answers.append(send(client, SMALL))
        yield from original(*arguments)

    monkeypatch.setattr(routes_nearness, "nearness", slow)
    assert send(client, SMALL).status_code == 200
    assert [answer.status_code for answer in answers] == [409]
    assert answers[0].json()["code"] == "comparison_running"
    monkeypatch.undo()
    assert send(client, SMALL).status_code == 200


def test_a_full_disk_is_not_the_sources_fault(client, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(line_spool.tempfile, "TemporaryFile", full)
    answer = send(client, SMALL)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_room")


def test_only_the_family_is_served(client):
    answer = client.post(routes_nearness.NEAR_PATH, content=SMALL, headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401


async def hang_up(app, body, when):
    """Send sources; once `when` has come, be gone."""
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if incoming:
            return incoming.pop()
        await asyncio.to_thread(when.wait)
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        elif message["body"]:
            when.set()
            await asyncio.sleep(60)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": routes_nearness.NEAR_PATH,
        "raw_path": routes_nearness.NEAR_PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer secret")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)


def test_a_client_that_leaves_ends_the_comparison(client, monkeypatch):
    monkeypatch.setattr(routes_nearness, "CHUNK_BYTES", 1)
    gc.disable()
    try:
        asyncio.run(hang_up(client.app, SMALL, threading.Event()))
        assert send(client, SMALL).status_code == 200
    finally:
        gc.enable()


def test_the_next_comparison_waits_for_one_whose_client_has_gone(client, monkeypatch):
    started, waiting, fingerprinted = threading.Event(), threading.Event(), []
    original, may_begin = nearness.fingerprint, routes_nearness._may_begin

    def slow(source):
        fingerprinted.append(source)
        if len(fingerprinted) == 1:
            started.set()
            assert waiting.wait(30)
        return original(source)

    async def noted(comparisons):
        if started.is_set():
            while not any(other.is_abandoned for other in comparisons):
                await asyncio.sleep(0.01)
            waiting.set()
        return await may_begin(comparisons)

    monkeypatch.setattr(nearness, "fingerprint", slow)
    monkeypatch.setattr(routes_nearness, "_may_begin", noted)
    many = b"".join(source_line(f"n{number}", NET.format(number)) for number in range(20))
    leaving = threading.Thread(target=lambda: asyncio.run(hang_up(client.app, many, started)))
    leaving.start()
    assert started.wait(30)
    assert lines_of(send(client, SMALL))[-1].compared == 1
    leaving.join(30)
    # Of the sources of the one that left, none was looked at after the one in hand.
    assert len(fingerprinted) == 2
