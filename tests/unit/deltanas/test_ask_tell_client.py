"""The client of an agent: what it sends, and how `tasks` holds, gives back and ends."""

import time

import pytest

from deltanas import ask_tell
from deltanas.client import Client
from deltanas.errors import Conflict, PlatformFailed, ServerUnreachable

SEARCH = "/v1/searches/se_1"
ENDED = {"code": "search_has_ended", "detail": "The search has ended; its state is succeeded."}


def task(number: int, lease_seconds: float = 300.0) -> dict:
    return {"task_id": f"tk_{number}", "search_id": "se_1", "lease_seconds": lease_seconds}


@pytest.fixture
def client(gateway):
    with Client(gateway.address) as opened:
        yield opened


@pytest.fixture
def two_tasks(gateway):
    """A search that gives two tasks, one after a pause, and then has ended."""
    for answer in ([task(1)], [], [task(2)]):
        gateway.answer("POST", f"{SEARCH}:ask", {"tasks": answer, "reason": None, "retry_after": None})
    gateway.answer("POST", f"{SEARCH}:ask", ENDED, status=409)
    gateway.answer("POST", f"{SEARCH}:tell", {"candidate": {"state": "proposed"}}, status=202)
    gateway.answer("POST", f"{SEARCH}:release", task(1))
    gateway.answer("POST", f"{SEARCH}:heartbeat", task(1))
    return gateway


def sent(gateway, verb: str) -> list[dict]:
    return [heard.json for heard in gateway.heard if heard.path == f"{SEARCH}:{verb}"]


def test_tasks_come_one_after_the_other_until_the_search_has_ended(two_tasks, client):
    given = []
    for one in client.tasks("se_1", agent="ann"):
        given.append(one["task_id"])
        client.tell(one, delta="d", summary="s")
    assert given == ["tk_1", "tk_2"]
    assert [told["task_id"] for told in sent(two_tasks, "tell")] == given
    assert {asked["agent"] for asked in sent(two_tasks, "ask")} == {"ann"}
    assert sent(two_tasks, "release") == []
    waits = [float(heard.query["wait"]) for heard in two_tasks.heard if heard.path.endswith(":ask")]
    assert waits
    assert all(0 < wait <= 20 for wait in waits)


def test_leaving_the_loop_by_an_error_gives_the_task_back(two_tasks, client):
    def work():
        for _ in client.tasks("se_1"):
            raise RuntimeError("no idea")

    with pytest.raises(RuntimeError):
        work()
    assert [released["task_id"] for released in sent(two_tasks, "release")] == ["tk_1"]


def test_a_task_is_held_while_it_is_worked_on(two_tasks, client, monkeypatch):
    monkeypatch.setattr(ask_tell, "_BEATS_PER_LEASE", 30_000)  # one each 10 ms
    for one in client.tasks("se_1"):
        while len(sent(two_tasks, "heartbeat")) < 2:
            time.sleep(0.005)
        client.tell(one, delta="d")
        break
    assert {beat["task_id"] for beat in sent(two_tasks, "heartbeat")} == {"tk_1"}


def test_a_server_that_is_away_for_longer_than_a_call_waits_does_not_end_the_loop(gateway, client):
    for _ in range(10):  # the transport of the tests tries a call four times
        gateway.hang_up("POST", f"{SEARCH}:ask")
    gateway.answer("POST", f"{SEARCH}:ask", ENDED, status=409)
    assert list(client.tasks("se_1")) == []
    assert len(gateway.heard) == 11


def test_a_server_that_stays_away_ends_the_loop(gateway, client, monkeypatch):
    monkeypatch.setattr(ask_tell, "PATIENCE_SECONDS", 0.05)
    gateway.hang_up("POST", f"{SEARCH}:ask")
    with pytest.raises(ServerUnreachable):
        next(client.tasks("se_1"))


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_wants_patience_does_not_end_the_loop(gateway, client, status):
    for _ in range(6):
        gateway.answer("POST", f"{SEARCH}:ask", {"status": status, "detail": "Later."}, status=status)
    gateway.answer("POST", f"{SEARCH}:ask", ENDED, status=409)
    assert list(client.tasks("se_1")) == []
    assert len(gateway.heard) == 7


def test_a_server_that_breaks_ends_the_loop(gateway, client):
    gateway.answer("POST", f"{SEARCH}:ask", {"status": 500, "detail": "A bug."}, status=500)
    with pytest.raises(PlatformFailed):
        next(client.tasks("se_1"))


def test_a_paused_search_is_an_error_of_the_loop(gateway, client):
    gateway.answer("POST", f"{SEARCH}:ask", {"code": "search_paused", "detail": "It is paused."}, status=409)
    with pytest.raises(Conflict) as error:
        next(client.tasks("se_1"))
    assert error.value.code == "search_paused"


def test_an_answer_is_a_delta_or_a_source(two_tasks, client):
    client.tell(task(1), delta="d")
    client.tell(task(1), source="s", summary="all of it", wait=90)
    first, second = sent(two_tasks, "tell")
    assert (first["delta"], "source" in first) == ("d", False)
    assert (second["source"], second["delta"], second["summary"]) == ("s", None, "all of it")
    assert [heard.query for heard in two_tasks.heard] == [{}, {"wait": "20"}]


def test_asking_once_gives_the_answer_as_it_came(two_tasks, client):
    answer = client.ask("se_1", tasks=3, lease_seconds=60, prompt=None)
    assert answer["tasks"] == [task(1)]
    (asked,) = sent(two_tasks, "ask")
    assert asked == {"tasks": 3, "agent": "", "prompt": None, "lease_seconds": 60}
    assert two_tasks.heard[0].headers["idempotency-key"]
