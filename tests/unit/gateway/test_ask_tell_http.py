"""Ask and tell as an outside agent sees it: tasks under leases, answers that count once, clear refusals."""

import asyncio
import json
import threading
import time
from datetime import timedelta

import pytest
from fakes import FakeFarm
from search_scene import Scene as LoopScene

from gateway.infra.ask_journal import AskJournal
from gateway.infra.database import utc_now

GOOD = {
    "dataset": "digits", "cycles": 1, "candidates_per_cycle": 3, "final_seeds": 2, "seed": 3,
    "proposer": {"kind": "external"}, "baselines": ["oak"],
}  # fmt: skip
OFFERED = {
    "task_id", "search_id", "proposal_id", "agent", "lease_seconds", "lease_expires_at", "told_at", "cycle",
    "slot", "seed", "baseline", "dataset", "evaluation", "form", "edits", "deployment", "history", "prompt",
    "tell_url", "heartbeat_url", "release_url",
}  # fmt: skip
DELTA = "grow 7"


class Clock:
    """The moment by which leases lapse; a test moves it on."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self, _session):
        return utc_now() + self.ahead

    def move(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock(scene):
    moved = Clock()
    ours = scene.services.asks
    object.__setattr__(scene.services, "asks", AskJournal(scene.services.database, moved))
    yield moved
    object.__setattr__(scene.services, "asks", ours)


def start(scene, **fields) -> dict:
    answer = scene.http.post("/v1/searches", json={**GOOD, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()


def advance(scene, search: dict) -> bool:
    """What the conductor does, in this thread."""
    services = scene.services
    return LoopScene(services.database, search["id"], scene.generator, scene.filter).run().advance()


def opened(scene, **fields) -> dict:
    """A search whose baselines are measured and whose first cycle waits for agents."""
    search = start(scene, **fields)
    assert not advance(scene, search)
    assert FakeFarm(scene.services.database).work() > 0
    assert not advance(scene, search)
    return search


def post(scene, search: dict, verb: str, headers=None, params=None, **body):
    return scene.http.post(
        f"/v1/searches/{search['id']}:{verb}", json=body, headers=headers, params=params or {}
    )


def ask(scene, search: dict, tasks: int = 1, **body) -> list[dict]:
    answer = post(scene, search, "ask", tasks=tasks, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()["tasks"]


def tell(scene, task: dict, wait: float = 0, **answer):
    body = answer if "source" in answer else {"delta": DELTA, **answer}
    return scene.http.post(task["tell_url"], json={"task_id": task["task_id"], **body}, params={"wait": wait})


def states(scene, search: dict) -> list[str]:
    items = scene.http.get(f"/v1/searches/{search['id']}/candidates", params={"cycle": 1}).json()["items"]
    return [item["state"] for item in items]


# --- asking ------------------------------------------------------------------------------------------


def test_a_task_says_what_a_proposer_of_the_platform_would_be_told(scene):
    search = opened(scene, edits={"never": ["imports"]})
    (task,) = ask(scene, search, agent="ann")
    assert set(task) == OFFERED
    assert (task["cycle"], task["slot"], task["dataset"], task["form"]) == (1, 0, "digits", "any")
    assert task["edits"] == {"only": [], "never": ["imports"]}
    assert (task["evaluation"]["epochs"], task["evaluation"]["limits"]["pids"]) == (1, 128)
    baseline = task["baseline"]
    parent = scene.http.get(f"/v1/searches/{search['id']}/candidates/{baseline['proposal_id']}").json()
    assert (baseline["source"], baseline["accuracy"]) == (parent["source"], parent["accuracy"])
    assert baseline["name"] == parent["name"]


def test_a_task_comes_with_what_a_model_would_be_told_in_the_form_that_was_asked_for(scene):
    search = opened(scene)
    asked = ({}, {"prompt": "source"}, {"prompt": None})
    (delta,), (source,), (none,) = (ask(scene, search, **form) for form in asked)
    for task, form in ((delta, "delta"), (source, "source")):
        assert task["prompt"]["version"] == "fake_v1"
        (message,) = task["prompt"]["messages"]
        assert message == {"role": "user", "content": f"a {form}, please\n{task['baseline']['source']}"}
    assert none["prompt"] is None


def test_a_tenant_whose_storage_is_full_keeps_its_task_and_tells_it_when_there_is_room(scene):
    search = opened(scene)
    (task,) = ask(scene, search)
    assert scene.http.patch("/v1/tenants/local", json={"storage_bytes": 1}).status_code == 200
    refused = tell(scene, task)
    assert (refused.status_code, refused.json()["code"]) == (403, "storage_full")
    assert states(scene, search)[task["slot"]] == "pending"
    assert scene.http.patch("/v1/tenants/local", json={"storage_bytes": None}).status_code == 200
    assert tell(scene, task).status_code < 300
    assert tell(scene, task).status_code < 300


def test_while_nobody_makes_prompts_no_slot_is_lost_to_a_task_that_nobody_got(scene):
    search = opened(scene)
    scene.generator.unreachable = True
    keyed = {"idempotency-key": "again"}
    for headers in (None, keyed):
        answer = post(scene, search, "ask", headers, tasks=2)
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert [task["slot"] for task in ask(scene, search, tasks=8, prompt=None)] == [2]
    scene.generator.unreachable = False
    assert [task["slot"] for task in post(scene, search, "ask", keyed, tasks=2).json()["tasks"]] == [0, 1]


def test_equal_seeds_give_tasks_with_equal_seeds_whatever_the_search_is_called(scene):
    first, second = (ask(scene, opened(scene, name=name), tasks=3) for name in ("one", "two"))
    assert [task["seed"] for task in first] == [task["seed"] for task in second]
    assert len({task["seed"] for task in first}) == 3


def test_slots_are_given_in_order_and_none_twice(scene):
    search = opened(scene)
    given = ask(scene, search, tasks=2) + ask(scene, search, tasks=8)
    assert [task["slot"] for task in given] == [0, 1, 2]
    answer = post(scene, search, "ask").json()
    assert (answer["tasks"], answer["reason"]) == ([], "all_slots_leased")
    assert answer["retry_after"] > 0


def test_while_the_search_is_at_work_there_is_nothing_to_ask_for(scene):
    answer = post(scene, start(scene), "ask").json()
    assert (answer["tasks"], answer["reason"]) == ([], "search_at_work")


def test_a_question_that_waits_is_answered_when_a_task_is_given_back(scene):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search)
    began = time.monotonic()
    answer = post(scene, search, "ask", params={"wait": 0.3}).json()
    assert answer["tasks"] == []
    assert time.monotonic() - began >= 0.3
    assert post(scene, search, "release", task_id=task["task_id"]).status_code == 200
    (again,) = ask(scene, search)
    assert (again["proposal_id"], again["task_id"] == task["task_id"]) == (task["proposal_id"], False)


def asked_by_one_who_leaves(scene, search: dict, left: threading.Event) -> threading.Thread:
    """An agent that waits for a task, and whose connection is gone once `left` is set."""
    path = f"/v1/searches/{search['id']}:ask"
    headers = [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")]
    connection = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"wait=30", "headers": headers, "client": ("127.0.0.1", 9), "scheme": "http",
        "http_version": "1.1", "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    messages = [{"type": "http.request", "body": b"{}"}]

    async def receive():
        if messages:
            return messages.pop()
        while not left.is_set():
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(_message):
        """Nobody hears it."""

    thread = threading.Thread(target=asyncio.run, args=(scene.http.app(connection, receive, send),))
    thread.start()
    return thread


def test_an_agent_that_left_while_it_waited_is_given_no_task(scene):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search)
    left = threading.Event()
    waiting = asked_by_one_who_leaves(scene, search, left)
    left.set()
    assert post(scene, search, "release", task_id=task["task_id"]).status_code == 200
    waiting.join(10)
    assert not waiting.is_alive()
    assert len(ask(scene, search)) == 1


def test_a_lapsed_lease_makes_the_slot_free_again(scene, clock):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search, lease_seconds=60)
    clock.move(59)
    assert ask(scene, search) == []
    clock.move(2)
    assert [other["slot"] for other in ask(scene, search)] == [task["slot"]]


def test_a_heartbeat_holds_a_task_for_as_long_again(scene, clock):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search, lease_seconds=60)
    clock.move(50)
    kept = post(scene, search, "heartbeat", task_id=task["task_id"])
    assert kept.status_code == 200
    assert kept.json()["lease_expires_at"] > task["lease_expires_at"]
    clock.move(50)
    assert ask(scene, search) == []


def test_a_question_repeated_under_its_key_gets_the_same_tasks(scene):
    search = opened(scene)
    headers = {"idempotency-key": "ask-once"}
    first = post(scene, search, "ask", headers, tasks=2).json()["tasks"]
    assert post(scene, search, "ask", headers, tasks=2).json()["tasks"] == first
    assert [task["slot"] for task in ask(scene, search, tasks=8)] == [2]
    other = post(scene, search, "ask", headers, tasks=1)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_question_that_got_nothing_is_asked_anew_under_its_key(scene):
    search = start(scene)
    headers = {"idempotency-key": "too-early"}
    assert post(scene, search, "ask", headers).json()["tasks"] == []
    advance(scene, search)
    FakeFarm(scene.services.database).work()
    advance(scene, search)
    assert len(post(scene, search, "ask", headers).json()["tasks"]) == 1


# --- what cannot be asked for ------------------------------------------------------------------------


def test_a_search_with_a_proposer_of_its_own_asks_no_agents(scene):
    search = start(scene, proposer={"kind": "mutation"})
    answer = post(scene, search, "ask")
    assert (answer.status_code, answer.json()["code"]) == (409, "proposer_not_external")
    assert "external" in answer.json()["remedy"]


def test_a_paused_search_gives_out_nothing_and_takes_answers(scene):
    search = opened(scene)
    (task,) = ask(scene, search)
    scene.http.post(f"/v1/searches/{search['id']}:pause")
    answer = post(scene, search, "ask", params={"wait": 5})
    assert (answer.status_code, answer.json()["code"]) == (409, "search_paused")
    assert post(scene, search, "heartbeat", task_id=task["task_id"]).status_code == 200
    assert tell(scene, task).status_code == 202
    assert states(scene, search) == ["proposed", "pending", "pending"]


def test_an_ended_search_says_so_to_whoever_asks_or_tells(scene):
    search = opened(scene)
    task, unanswered = ask(scene, search, tasks=2)
    assert tell(scene, task).status_code == 202
    scene.http.post(f"/v1/searches/{search['id']}:cancel")
    for answer in (
        post(scene, search, "ask", params={"wait": 5}),
        post(scene, search, "heartbeat", task_id=task["task_id"]),
        tell(scene, unanswered),
        tell(scene, task, delta="grow 8"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "search_has_ended")
    repeated = tell(scene, task)
    assert repeated.json()["candidate"]["raw_proposal"] == DELTA
    assert post(scene, search, "release", task_id=unanswered["task_id"]).status_code == 200


BAD = {
    "no tasks": ("ask", {"tasks": 0}, "tasks"),
    "too many tasks": ("ask", {"tasks": 9}, "tasks"),
    "tasks as text": ("ask", {"tasks": "2"}, "tasks"),
    "short lease": ("ask", {"lease_seconds": 9}, "lease_seconds"),
    "long lease": ("ask", {"lease_seconds": 3601}, "lease_seconds"),
    "lease as text": ("ask", {"lease_seconds": "60"}, "lease_seconds"),
    "prompt as a word": ("ask", {"prompt": "chat"}, "prompt"),
    "agent with a line break": ("ask", {"agent": "a\nb"}, "agent"),
    "agent with an escape": ("ask", {"agent": "a\x1b[2J"}, "agent"),
    "unknown field": ("ask", {"task": 1}, "task"),
    "no answer": ("tell", {"delta": None}, "body"),
    "two answers": ("tell", {"source": "x"}, "body"),
    "blank answer": ("tell", {"delta": " \n"}, "delta"),
    "too large": ("tell", {"delta": "+" * (128 * 1024 + 1)}, "delta"),
    "too large in bytes": ("tell", {"delta": "€" * (64 * 1024)}, "delta"),
    "summary too long": ("tell", {"summary": "s" * 501}, "summary"),
    "malformed task": ("tell", {"task_id": "tk_'; --"}, "task_id"),
    "calls": ("tell", {"calls": []}, "calls"),
}


def test_a_bad_request_names_its_field_and_changes_nothing(scene):
    search = opened(scene)
    (task,) = ask(scene, search)
    for case, (verb, fields, field) in BAD.items():
        told = {"task_id": task["task_id"], "delta": DELTA} if verb == "tell" else {}
        answer = post(scene, search, verb, **{**told, **fields})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (422, "invalid_request", field), (
            case
        )
    assert states(scene, search) == ["pending"] * 3
    assert len(ask(scene, search, tasks=8)) == 2


def test_a_lease_that_is_no_number_is_refused(scene):
    search = start(scene)
    answer = scene.http.post(
        f"/v1/searches/{search['id']}:ask",
        content=json.dumps({"lease_seconds": float("nan")}),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in {400, 422}


def test_an_unknown_search_or_task_is_not_found(scene):
    search = opened(scene)
    for verb in ("ask", "tell", "heartbeat", "release"):
        body = {} if verb == "ask" else {"task_id": "tk_00", **({"delta": DELTA} if verb == "tell" else {})}
        answer = post(scene, {"id": "se_00"}, verb, **body)
        assert (answer.status_code, answer.json()["code"]) == (404, "search_unknown")
        if verb != "ask":
            answer = post(scene, search, verb, **body)
            assert (answer.status_code, answer.json()["code"]) == (404, "task_unknown")


def test_a_task_of_another_search_is_not_found(scene):
    one, other = opened(scene), opened(scene, seed=4)
    (task,) = ask(scene, one)
    answer = post(scene, other, "tell", task_id=task["task_id"], delta=DELTA)
    assert (answer.status_code, answer.json()["code"]) == (404, "task_unknown")


def test_tenants_cannot_ask_tell_renew_or_release_in_each_others_searches(scene):
    search = opened(scene)
    (task,) = ask(scene, search)
    _, key = scene.services.keys.create("someone-else")
    headers = {"authorization": f"Bearer {key}"}
    for verb, body in (
        ("ask", {}),
        ("tell", {"task_id": task["task_id"], "delta": DELTA}),
        ("heartbeat", {"task_id": task["task_id"]}),
        ("release", {"task_id": task["task_id"]}),
    ):
        answer = post(scene, search, verb, headers, **body)
        assert (answer.status_code, answer.json()["code"]) == (404, "search_unknown")
    assert states(scene, search) == ["pending"] * 3
    assert post(scene, search, "heartbeat", task_id=task["task_id"]).json()["told_at"] is None


# --- telling -----------------------------------------------------------------------------------------


def test_a_told_answer_is_on_disk_as_the_slots_proposal(scene):
    search = opened(scene)
    (task,) = ask(scene, search, agent="ann")
    answer = tell(scene, task, summary="one more block")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/searches/{search['id']}/candidates/{task['proposal_id']}"
    told = answer.json()
    assert (told["task_id"], told["lease_had_lapsed"]) == (task["task_id"], False)
    candidate = scene.http.get(answer.headers["location"]).json()
    assert candidate == told["candidate"]
    assert (candidate["state"], candidate["raw_proposal"]) == ("proposed", DELTA)
    assert (candidate["proposer"], candidate["summary"]) == ("external/ann", "one more block")


def test_the_same_answer_again_is_the_same_and_another_one_is_refused(scene, clock):
    search = opened(scene)
    (task,) = ask(scene, search)
    first = tell(scene, task)
    clock.move(4000)
    again = tell(scene, task)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    for other in ({"delta": "grow 8"}, {"source": DELTA}, {"summary": "more"}):
        refused = tell(scene, task, **other)
        assert (refused.status_code, refused.json()["code"]) == (409, "already_told")
    kept = post(scene, search, "heartbeat", task_id=task["task_id"])
    assert (kept.status_code, kept.json()["code"]) == (409, "already_told")
    assert post(scene, search, "release", task_id=task["task_id"]).json()["told_at"] is not None


def test_a_late_answer_counts_while_nobody_else_holds_the_slot(scene, clock):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search, lease_seconds=10)
    clock.move(11)
    answer = tell(scene, task)
    assert (answer.status_code, answer.json()["lease_had_lapsed"]) == (202, True)
    assert ask(scene, search) == []


def test_a_late_answer_is_lost_once_somebody_else_has_the_slot(scene, clock):
    search = opened(scene, candidates_per_cycle=1)
    (slow,) = ask(scene, search, lease_seconds=10)
    clock.move(11)
    (quick,) = ask(scene, search)
    for answer in (
        tell(scene, slow, delta="grow 1"),
        post(scene, search, "heartbeat", task_id=slow["task_id"]),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "lease_lost")
    assert tell(scene, quick).status_code == 202
    assert tell(scene, slow, delta="grow 1").json()["code"] == "lease_lost"


def test_a_task_given_back_twice_stays_given_back(scene):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search)
    first, second = (post(scene, search, "release", task_id=task["task_id"]).json() for _ in range(2))
    assert first == second
    assert len(ask(scene, search)) == 1


def test_a_delta_that_does_not_fit_is_a_refused_candidate_not_an_error(scene):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search)
    assert tell(scene, task, delta="unplaceable").status_code == 202
    advance(scene, search)
    told = tell(scene, task, delta="unplaceable")
    assert told.status_code == 200
    assert (told.json()["candidate"]["state"], told.json()["candidate"]["failure"]["code"]) == (
        "refused",
        "hunk_unplaceable",
    )


def test_text_that_no_database_takes_is_stored_harmless_and_told_again_the_same(scene):
    search = opened(scene)
    (task,) = ask(scene, search)
    hostile = {"delta": "grow\x00\u202e 5", "summary": "\x00\x1b[2J"}
    first, again = tell(scene, task, **hostile), tell(scene, task, **hostile)
    assert (first.status_code, again.json()) == (202, first.json())
    assert first.json()["candidate"]["raw_proposal"] == "grow\ufffd\u202e 5"


def test_text_without_an_encoding_is_refused_by_its_field(scene):
    search = opened(scene)
    (task,) = ask(scene, search)
    body = json.dumps({"task_id": task["task_id"], "delta": "grow \ud800 5"})
    answer = scene.http.post(task["tell_url"], content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "delta")
    assert states(scene, search) == ["pending"] * 3


def test_waiting_with_an_answer_ends_when_the_slot_is_final(scene):
    search = opened(scene, candidates_per_cycle=1)
    (task,) = ask(scene, search)
    began = time.monotonic()
    assert tell(scene, task, wait=0.3).status_code == 202
    assert time.monotonic() - began >= 0.3
    advance(scene, search)
    FakeFarm(scene.services.database).work()
    advance(scene, search)
    final = tell(scene, task, wait=30)
    assert final.status_code == 200
    assert final.json()["candidate"]["state"] in {"judged", "failed"}


def test_a_whole_search_can_be_driven_from_outside(scene):
    search = start(scene, cycles=2)
    told = 0
    while not advance(scene, search):
        for task in ask(scene, search, tasks=8):
            assert tell(scene, task, delta=f"grow {task['seed'] % 1000}").status_code == 202
            told += 1
        FakeFarm(scene.services.database).work()
    ended = scene.http.get(f"/v1/searches/{search['id']}").json()
    assert (ended["state"], told) == ("succeeded", 6)
    assert ended["funnel"]["proposed"] == 6
    assert post(scene, search, "ask").json()["code"] == "search_has_ended"
