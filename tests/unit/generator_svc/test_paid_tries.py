"""What was paid for and never reached a search is counted all the same, by a generator started anew too."""

import json

import pytest
from fastapi.testclient import TestClient
from mutation_sources import BLOCKS
from stand_in_endpoint import event, head, refusing, saying, sending, stand_in

from contracts.service_gate import token_digest
from generator_svc.app import create_app
from generator_svc.config import GeneratorSettings
from generator_svc.deltas import canonical_delta

GOOD = f"```diff\n{canonical_delta(BLOCKS, BLOCKS.replace('(8, 16)', '(12, 16)'))}```"
PROSE = saying("I would make it wider.", prompt=1000, completion=10)
RIGHT = saying(GOOD, prompt=2000, completion=20)
AWAY = refusing(500, {"error": {"message": "boom"}})
HALF = sending(head(), event("half "), event("of "), event("it"))


@pytest.fixture
def server():
    with stand_in() as one:
        yield one


@pytest.fixture
def start(server, tmp_path, monkeypatch):
    """Starts the generator, in the home that the one before has left."""
    endpoint = {
        "base_url": server.base_url,
        "model": "m",
        "patience_seconds": 0,
        "usd_per_million_prompt_tokens": 1.0,
        "usd_per_million_completion_tokens": 10.0,
    }
    monkeypatch.setenv("DELTANAS_LLM_ENDPOINTS", json.dumps({"far": endpoint}))

    def start(home=tmp_path):
        app = create_app(GeneratorSettings(service_token_sha256=token_digest("secret"), home=home))
        client = TestClient(app, headers={"Authorization": "Bearer secret"})

        def propose(search="se_1"):
            slot = {"slot": 0, "seed": 1, "baseline_source": BLOCKS, "baseline_id": "b"}
            asked = {"search_id": search, "cycle": 1, "proposer": "openai_compatible", "dataset": "mnist"}
            (line,) = client.post("/v1/proposals", json=asked | {"slots": [slot]}).text.splitlines()
            return json.loads(line)

        return propose

    return start


def spent(line) -> tuple[int, int]:
    calls = line["proposal"]["calls"]
    for call in calls:
        cost = (call["prompt_tokens"] + 10 * call["completion_tokens"]) / 1e6
        assert call["cost_usd"] == pytest.approx(cost)
    return sum(call["prompt_tokens"] for call in calls), sum(call["completion_tokens"] for call in calls)


def test_a_refused_answer_whose_repair_was_to_come_is_counted_after_a_restart(server, start):
    server.will(PROSE, AWAY)
    assert start()()["blocked"]
    server.will(PROSE, RIGHT)
    propose = start()
    line = propose()
    assert spent(line) == (1000 + 1000 + 2000, 10 + 10 + 20)
    # The gateway asks once more where it was cut off before it kept what it heard.
    assert propose() == line
    server.will(RIGHT)
    assert spent(propose("se_another")) == (2000, 20)


def test_tries_that_broke_off_are_counted_after_a_restart_and_after_the_next(server, start):
    server.will(HALF)
    assert start()()["blocked"]
    assert start()()["blocked"]
    server.will(PROSE, AWAY)
    assert start()()["blocked"]
    server.will(RIGHT)
    line = start()()
    (call,) = line["proposal"]["calls"]
    assert call["tokens_estimated"]
    prompt, completion = spent(line)
    assert completion == 3 + 3 + 10 + 20
    broken = prompt - 1000 - 2000
    assert broken > 0
    assert broken % 2 == 0


def test_a_refused_prompt_counts_what_its_tries_took_that_broke_off(server, start):
    server.will(HALF)
    assert start()()["blocked"]
    server.will(refusing(400, {"error": {"message": "no", "code": "content_filter"}}))
    prompt, completion = spent(start()())
    assert completion == 3
    assert prompt > 0


def test_no_restart_lets_an_endpoint_break_off_one_answer_without_end(server, start):
    server.will(HALF)
    blocked = [start()()["blocked"] for _ in range(6)]
    assert [one["retryable"] for one in blocked] == [True, True, True, True, False, False]


def test_nothing_that_anybody_said_is_kept(server, start, tmp_path):
    server.will(PROSE, AWAY)
    start()()
    (kept,) = tmp_path.glob("paid-tries*")
    assert b"wider" not in kept.read_bytes()
    assert b"class Net" not in kept.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"no database" * 1000])
def test_a_file_that_cannot_be_used_costs_the_count_and_no_answer(server, start, tmp_path, damage, caplog):
    server.will(PROSE, AWAY)
    start()()
    (kept,) = tmp_path.glob("paid-tries*")
    kept.write_bytes(damage)
    server.will(RIGHT)
    assert spent(start()()) == (2000, 20)
    assert ("paid-tries" in caplog.text) == bool(damage)


def test_without_a_home_tries_are_counted_until_it_ends(server, start):
    propose = start(home=None)
    server.will(HALF)
    assert propose()["blocked"]
    server.will(RIGHT)
    assert spent(propose())[1] == 3 + 20
