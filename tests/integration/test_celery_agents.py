"""Agents as Celery workers, with a real Redis and a real gateway. Their runners run nothing."""

import base64
import json
import pickle
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest
from farm import LEASE_SECONDS, REPUBLISH_SECONDS, START_SECONDS, TOKEN, Farm
from noop_runner import NoopRunner
from processes import until
from redis_server import RedisServer

from contracts.dispatch import Resource, message_body, message_headers
from contracts.names import IsolationTier

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHARED = Resource.CPU.value


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.start()
    server.end()


@pytest.fixture(scope="module")
def one_farm(tmp_path_factory, redis_server):
    farm = Farm(tmp_path_factory.mktemp("farm"), redis_server.url)
    yield farm.start_gateway()
    farm.close()


@pytest.fixture
def farm(one_farm, redis_server):
    """The gateway and its broker serve all tests; agents, evaluations and messages are each test's own."""
    yield one_farm
    one_farm.clear()
    with redis_server.client() as redis:
        redis.flushall()


@pytest.fixture
def runner():
    started = NoopRunner()
    yield started
    started.close()


@pytest.fixture
def other_runner():
    started = NoopRunner()
    yield started
    started.close()


def counted_once(documents, runners=()):
    """Every evaluation succeeded, by exactly one report of one of its attempts."""
    assert {document["state"] for document in documents} == {"succeeded"}
    for document in documents:
        assert Counter(attempt["state"] for attempt in document["attempts"])["reported"] == 1, document
    attempts = [attempt["id"] for document in documents for attempt in document["attempts"]]
    ran = Counter()
    for runner in runners:
        ran.update(runner.runs)
    assert set(ran) <= set(attempts)
    return attempts


def test_attempts_reach_the_agents_through_the_broker_and_each_runs_once(farm, runner, other_runner):
    farm.start_agent("one", runner.address)
    farm.start_agent("two", other_runner.address)
    runner.seconds = other_runner.seconds = 0.2
    documents = farm.all_ended(farm.submit(12))

    attempts = counted_once(documents, (runner, other_runner))
    assert runner.runs.keys() & other_runner.runs.keys() == set()
    assert all((runner.runs, other_runner.runs)), "both agents have worked"
    assert {**runner.runs, **other_runner.runs} == dict.fromkeys(attempts, 1)
    assert max(runner.most, other_runner.most) <= 2


def test_no_more_attempts_are_published_than_there_are_free_slots(farm, runner, redis_server):
    runner.seconds = 60
    farm.start_agent("one", runner.address)
    farm.submit(10)
    until(lambda: len(runner.running()) == 2, START_SECONDS, "both slots are taken")
    for _ in range(5):
        time.sleep(0.2)
        with redis_server.client() as redis:
            waiting = redis.llen(SHARED) + redis.llen(Resource.CPU.queue_of("one"))
            assert waiting == 0
            assert redis.hlen("unacked") == 2
    assert len(runner.runs) == 2


@pytest.mark.full
def test_a_message_holds_the_name_of_an_attempt_and_nothing_else(farm, runner, redis_server):
    farm.start_agent("one", runner.address).send(signal.SIGSTOP)
    (evaluation,) = farm.submit()
    with redis_server.client() as redis:
        waiting = until(
            lambda: redis.lrange(SHARED, 0, -1) or _unacked(redis), START_SECONDS, "a message waits"
        )
    attempt_id = farm.read(evaluation)["attempts"][0]["id"]
    for raw in waiting:  # more than one where this test was slower than the gateway's patience
        message = json.loads(raw)
        assert message["headers"] == message_headers(attempt_id)
        assert not [secret for secret in ("DELTANAS", TOKEN, evaluation, "class Net") if secret in raw]
        assert message["content-type"] == "application/json"


def _unacked(redis):
    return [json.dumps(json.loads(entry)[0]) for entry in redis.hvals("unacked")]


@pytest.mark.full
def test_an_attempt_goes_to_an_agent_whose_host_can_run_it(farm, runner, other_runner):
    other_runner.offered = replace(other_runner.offered, tier=IsolationTier.DOCKER_RUNSC)
    farm.start_agent("weak", runner.address)
    farm.start_agent("strong", other_runner.address)
    ids = farm.submit(4, minimum_tier="docker+runsc")
    documents = farm.all_ended(ids)
    counted_once(documents, (other_runner,))
    assert {attempt["agent"] for document in documents for attempt in document["attempts"]} == {"strong"}
    assert runner.runs == {}


@pytest.mark.full
def test_a_killed_agents_attempt_is_run_again_by_another_and_counts_once(farm, runner, other_runner):
    runner.seconds = 60
    agent = farm.start_agent("one", runner.address)
    ids = farm.submit(2)
    until(lambda: len(runner.running()) == 2, START_SECONDS, "both run")
    agent.kill()
    farm.start_agent("two", other_runner.address)
    documents = farm.all_ended(ids)

    counted_once(documents)
    assert [[attempt["state"] for attempt in d["attempts"]] for d in documents] == [["lost", "reported"]] * 2


@pytest.mark.full
def test_a_broker_that_loses_everything_loses_no_attempt(farm, runner, redis_server):
    runner.seconds = 0.3
    farm.start_agent("one", runner.address)
    ids = farm.submit(12)
    until(lambda: len(runner.runs) >= 3, START_SECONDS, "some have run")
    redis_server.kill()
    ids += farm.submit(3, first_seed=100)
    time.sleep(1)
    redis_server.start()
    until(lambda: len(runner.runs) >= 6, START_SECONDS, "work goes on")
    with redis_server.client() as redis:
        redis.flushall()
    counted_once(farm.all_ended(ids))


@pytest.mark.full
def test_what_ends_while_the_broker_is_away_leaves_no_slot_taken(farm, runner, redis_server):
    runner.seconds = 600
    agent = farm.start_agent("one", runner.address)
    ids = farm.submit(2)
    until(lambda: len(runner.running()) == 2, START_SECONDS, "both slots are taken")
    redis_server.kill()
    runner.seconds = 0
    runner.finish()
    documents = farm.all_ended(ids)
    until(lambda: "could not be acknowledged" in agent.words(), START_SECONDS, "the broker did not hear it")
    redis_server.start()
    counted_once(documents + farm.all_ended(farm.submit(4, first_seed=50)), (runner,))


@pytest.mark.full
def test_messages_that_are_delivered_again_and_again_change_nothing(farm, runner, redis_server):
    runner.seconds = 0.2
    farm.start_agent("one", runner.address)
    with redis_server.client() as redis:
        ids = farm.submit(8)
        seen = set()
        for _ in range(20):
            seen.update(json.dumps(json.loads(entry)[0]) for entry in redis.hvals("unacked"))
            seen.update(redis.lrange(SHARED, 0, -1))
            time.sleep(0.1)
        documents = farm.all_ended(ids)
        assert seen
        for message in seen:
            redis.lpush(SHARED, message, message)
        until(
            lambda: redis.llen(SHARED) == 0 and redis.hlen("unacked") == 0, START_SECONDS, "all were dropped"
        )
    counted_once(documents)
    assert set(runner.runs.values()) == {1}
    assert all(len(farm.read(evaluation)["attempts"]) == 1 for evaluation in ids)


@pytest.mark.full
def test_a_gateway_killed_while_its_broker_is_away_publishes_in_its_next_life(farm, runner, redis_server):
    farm.start_agent("one", runner.address)
    redis_server.kill()
    ids = farm.submit(2)
    time.sleep(1)
    farm.gateway.kill()
    redis_server.start()
    farm.start_gateway()
    counted_once(farm.all_ended(ids), (runner,))


@pytest.mark.full
def test_a_gateway_killed_after_it_published_counts_nothing_twice(farm, runner, redis_server):
    agent = farm.start_agent("one", runner.address)
    agent.send(signal.SIGSTOP)
    ids = farm.submit(2)
    with redis_server.client() as redis:
        until(lambda: redis.llen(SHARED) + redis.hlen("unacked") >= 2, START_SECONDS, "both are published")
    farm.gateway.kill()
    farm.start_gateway()
    time.sleep(REPUBLISH_SECONDS + 1)
    agent.send(signal.SIGCONT)
    counted_once(farm.all_ended(ids), (runner,))
    assert set(runner.runs.values()) == {1}


def test_a_drained_agent_ends_what_it_runs_and_hands_nothing_back(farm, runner):
    runner.seconds = 2
    agent = farm.start_agent("one", runner.address, agent_drain_seconds=60)
    ids = farm.submit(4)
    until(lambda: len(runner.running()) == 2, START_SECONDS, "both slots are taken")
    assert agent.end() == 0
    states = sorted(farm.read(evaluation)["state"] for evaluation in ids)
    assert states == ["queued", "queued", "succeeded", "succeeded"]
    assert len(runner.runs) == 2


@pytest.mark.full
@pytest.mark.parametrize("how", ["bound", "second signal"])
def test_what_does_not_end_in_time_is_given_back_and_is_no_loss(farm, runner, other_runner, how):
    runner.seconds = 600
    agent = farm.start_agent("one", runner.address, agent_drain_seconds=600 if how == "second signal" else 1)
    ids = farm.submit(2)
    until(lambda: len(runner.running()) == 2, START_SECONDS, "both slots are taken")
    agent.send(signal.SIGTERM)
    if how == "second signal":
        time.sleep(0.5)
        assert agent.runs()
        agent.send(signal.SIGTERM)
    assert agent.process.wait(START_SECONDS) == 0
    assert runner.running() == []
    farm.start_agent("two", other_runner.address)
    documents = farm.all_ended(ids)
    assert [[attempt["state"] for attempt in d["attempts"]] for d in documents] == [
        ["released", "reported"]
    ] * 2


def test_what_a_stranger_writes_into_the_broker_is_dropped_and_work_goes_on(farm, runner, redis_server):
    farm.start_agent("one", runner.address)
    (taken,) = farm.submit()
    ended = farm.all_ended([taken])[0]
    known = ended["attempts"][0]["id"]
    runner.seconds = 30
    held = farm.submit(3, first_seed=10)
    until(lambda: len(runner.running()) == 2, START_SECONDS, "both slots are taken")
    unpublished = _waiting_attempt(farm, held)
    runner.seconds = 0
    with redis_server.client() as redis:
        for entry in _hostile(known, unpublished):
            redis.lpush(SHARED, entry)
        runner.finish()
        documents = farm.all_ended(held)
        until(lambda: redis.llen(SHARED) == 0, START_SECONDS, "the queue is empty")
    counted_once(documents)
    assert set(runner.runs.values()) == {1}
    assert farm.agents["one"].runs()
    words = farm.agents["one"].words()
    assert "OWNED" not in words


def _waiting_attempt(farm, ids):
    for evaluation in ids:
        document = farm.read(evaluation)
        if document["state"] == "queued":
            return document["attempts"][0]["id"]
    raise AssertionError("none waits")


def _hostile(known, unpublished):
    """Entries that nobody but a stranger writes."""

    class Bomb:
        def __reduce__(self):
            return (print, ("OWNED",))

    def entry(headers, body, kind="application/json", encoding="utf-8"):
        return json.dumps(
            {
                "body": base64.b64encode(body).decode(),
                "content-type": kind,
                "content-encoding": encoding,
                "headers": headers,
                "properties": {
                    "delivery_mode": 2,
                    "delivery_info": {"exchange": "", "routing_key": SHARED},
                    "priority": 0,
                    "body_encoding": "base64",
                    "delivery_tag": f"stranger-{time.monotonic_ns()}",
                },
            }
        )

    headers = message_headers(known)
    return [
        "garbage",
        "[]",
        "null",
        "{}",
        '{"body": 7}',
        "[" * 50_000,
        entry(headers, pickle.dumps(Bomb()), "application/x-python-serialize", "binary"),
        entry(headers | {"task": "celery.chunks"}, message_body(known)),
        entry(headers | {"eta": "2199-01-01T00:00:00"}, message_body(known)),
        entry(headers, json.dumps([[known], {}, {"chain": [{"task": "deltanas.attempt"}]}]).encode()),
        entry(message_headers(known), message_body(known)),
        entry(message_headers(unpublished), message_body(unpublished)),
        entry(message_headers("at_" + "0" * 28), message_body("at_" + "0" * 28)),
    ]


def test_an_agents_lease_is_longer_than_the_tests_wait():
    """What these tests call a loss must come from the sweeper, not from chance."""
    assert LEASE_SECONDS > REPUBLISH_SECONDS
