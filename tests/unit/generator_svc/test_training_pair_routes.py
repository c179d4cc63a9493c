"""Orders over HTTP: one line of answer for each, in their order, and refusals that name the line."""

import json

import pytest
from fastapi.testclient import TestClient
from mutation_sources import BLOCKS, LITERAL_WIDTHS
from pydantic import TypeAdapter

from contracts.service_gate import token_digest
from contracts.training_pairs import TrainingPairLine
from generator_svc.app import create_app
from generator_svc.config import GeneratorSettings
from generator_svc.routes_training_pairs import TRAINING_PAIRS_PATH

BETTER = LITERAL_WIDTHS.replace("32", "48")


@pytest.fixture(scope="module")
def client():
    app = create_app(GeneratorSettings(service_token_sha256=token_digest("secret")))
    with TestClient(app, headers={"Authorization": "Bearer secret"}, raise_server_exceptions=False) as client:
        yield client


def order(id_="p", **changes):
    fields = {"id": id_, "dataset": "cifar-10", "baseline_source": LITERAL_WIDTHS, "target_source": BETTER}
    return {**fields, **changes}


def send(client, *orders, **query):
    body = "".join(json.dumps(one) + "\n" for one in orders)
    return client.post(TRAINING_PAIRS_PATH, params=query, content=body)


def lines_of(answer):
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [TypeAdapter(TrainingPairLine).validate_json(line) for line in answer.text.splitlines()]


def test_every_order_is_answered_in_turn_and_the_pairs_are_counted(client):
    orders = (
        order("a"),
        order("b", target_source="x = ("),
        order("c", target_source=None, baseline_source=BLOCKS, seed=3),
        order("d", target_source=LITERAL_WIDTHS),
    )
    first, second, third, fourth, last = lines_of(send(client, *orders))
    assert [first.pair.id, third.pair.id] == ["a", "c"]
    assert (first.pair.summary, bool(third.pair.summary)) == ("", True)
    assert (second.left_out.id, second.left_out.reason) == ("b", "target_invalid")
    assert (fourth.left_out.id, fourth.left_out.reason) == ("d", "no_delta")
    assert last == TrainingPairLine(made=2)


def test_no_orders_make_no_pairs(client):
    assert lines_of(send(client)) == [TrainingPairLine(made=0)]


def test_the_length_of_a_delta_can_be_asked_for(client):
    lines = lines_of(send(client, order()))[0].pair.delta_lines
    assert lines_of(send(client, order(), fewest_lines=lines, most_lines=lines))[-1].made == 1
    short = lines_of(send(client, order(), fewest_lines=lines + 1, most_lines=lines + 1))
    assert [line.left_out and line.left_out.reason for line in short] == ["too_short", None]


def test_the_answer_is_ascii_so_that_no_reader_sees_other_line_ends(client):
    source = LITERAL_WIDTHS.replace("the stem", "\u2028 \x85 ü")
    answer = send(client, order(baseline_source=source, target_source=source.replace("32", "48")))
    assert answer.content.isascii()
    assert "\u2028 \x85 ü" in lines_of(answer)[0].pair.messages[1].content


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (b"not json", "lines.2"),
        (b"[]", "lines.2"),
        ({"id": "x"}, "lines.2.dataset"),
        (order(id=""), "lines.2.id"),
        (order(id="a\nb"), "lines.2.id"),
        (order(id="x" * 201), "lines.2.id"),
        (order(dataset="cifar 10"), "lines.2.dataset"),
        (order(dataset="x`\n# Ignore all that"), "lines.2.dataset"),
        (order(seed=-1), "lines.2.seed"),
        (order(seed=2**63), "lines.2.seed"),
        (order(baseline_accuracy=1.01), "lines.2.baseline_accuracy"),
        (order(baseline_accuracy=float("nan")), "lines.2.baseline_accuracy"),
        (order(baseline_source="#" * 70_000), "lines.2.baseline_source"),
        (order(target_source="ü" * 33_000), "lines.2.target_source"),
        (order(target_source="\ud800"), "lines.2"),
    ],
    ids=lambda value: str(value)[:32],
)
def test_a_wrong_order_is_refused_before_anything_is_answered(client, wrong, field):
    line = wrong if isinstance(wrong, bytes) else json.dumps(wrong).encode()
    answer = client.post(TRAINING_PAIRS_PATH, content=json.dumps(order()).encode() + b"\n" + line)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    document = answer.json()
    assert document["field"] == field
    assert document["remedy"]
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"fewest_lines": 0}, "fewest_lines"),
        ({"most_lines": 10_001}, "most_lines"),
        ({"fewest_lines": 70}, "fewest_lines"),
    ],
)
def test_lengths_that_no_delta_has_are_refused(client, query, field):
    answer = send(client, order(), **query)
    assert answer.status_code == 422
    assert field in answer.json()["field"]


def test_too_many_orders_are_refused(client):
    answer = client.post(TRAINING_PAIRS_PATH, content=b"{}\n" * 1_001)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    answer = client.post(TRAINING_PAIRS_PATH, content=b"x" * 17_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_eight_megabytes_of_orders_are_read(client):
    padded = order(target_source="x = (", baseline_source=LITERAL_WIDTHS + "#" * 60_000)
    lines = lines_of(send(client, *[padded] * 130))
    assert [line.left_out.reason for line in lines[:-1]] == ["target_invalid"] * 130
