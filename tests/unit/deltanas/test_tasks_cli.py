"""`deltanas task` against a gateway that gives prepared answers."""

import pytest

SEARCH = "/v1/searches/se_1"
TASK = {
    "task_id": "tk_1", "search_id": "se_1", "proposal_id": "se_1-c001-s002", "cycle": 1, "slot": 2, "seed": 5,
    "lease_expires_at": "2026-01-01T00:15:00Z", "prompt": None, "history": [],
    "baseline": {"name": "residual", "accuracy": 0.8123, "source": "class Net:\n    '\x1b[2J'\n"},
}  # fmt: skip
NOTHING = {"tasks": [], "reason": "search_at_work", "retry_after": 5}
LEASE = {"task_id": "tk_1", "lease_expires_at": "2026-01-01T00:30:00Z", "told_at": None}


def told(state: str, **fields) -> dict:
    candidate = {
        "name": "c001-s002",
        "state": state,
        "accuracy": None,
        "accuracy_standard_error": None,
        **fields,
    }
    return {"task_id": "tk_1", "lease_had_lapsed": False, "candidate": candidate}


@pytest.fixture
def delta(tmp_path):
    file = tmp_path / "answer.diff"
    file.write_text("--- a\n+++ b\n")
    return file


def test_asking_prints_the_baseline_and_whose_task_it_is(gateway, deltanas, tmp_path):
    gateway.answer("POST", f"{SEARCH}:ask", {"tasks": [TASK], "reason": None, "retry_after": None})
    ended = deltanas("task", "ask", "se_1", "--agent", "ann", "--lease-seconds", 60)
    assert (ended.code, ended.out) == (0, TASK["baseline"]["source"])
    for part in ("tk_1", "c001-s002", "residual", "81.23 %", "2026-01-01T00:15:00Z"):
        assert part in ended.err
    asked = gateway.heard[-1].json
    assert (asked["agent"], asked["lease_seconds"], asked["prompt"]) == ("ann", 60, None)
    file = tmp_path / "base.py"
    assert deltanas("task", "ask", "se_1", "-o", file).out == ""
    assert file.read_text() == TASK["baseline"]["source"]


def test_asking_waits_until_there_is_a_task(gateway, deltanas):
    gateway.answer("POST", f"{SEARCH}:ask", NOTHING)
    gateway.answer("POST", f"{SEARCH}:ask", {"tasks": [TASK], "reason": None, "retry_after": None})
    ended = deltanas("task", "ask", "se_1", "--wait", 600, "--prompt", "source", "--json")
    assert (ended.code, ended.json["tasks"]) == (0, [TASK])
    assert [heard.json["prompt"] for heard in gateway.heard] == ["source", "source"]
    assert float(gateway.heard[0].query["wait"]) == 20


def test_without_a_free_slot_asking_says_why(gateway, deltanas):
    gateway.answer("POST", f"{SEARCH}:ask", NOTHING)
    gateway.answer("POST", f"{SEARCH}:ask", {**NOTHING, "reason": "all_slots_leased"})
    assert "the search is at work" in deltanas("task", "ask", "se_1").err
    assert "all open slots are leased" in deltanas("task", "ask", "se_1").err


def test_a_told_answer_is_followed_to_its_verdict(gateway, deltanas, delta):
    gateway.answer("POST", f"{SEARCH}:tell", told("proposed"), status=202)
    gateway.answer("POST", f"{SEARCH}:tell", told("evaluating"), status=202)
    judged = told("judged", accuracy=0.8, accuracy_standard_error=0.01)
    gateway.answer("POST", f"{SEARCH}:tell", judged)
    ended = deltanas("task", "tell", "se_1", "tk_1", delta, "--summary", "new", "--wait", 600)
    assert ended.code == 0
    assert "judged 80.00 ± 1.00 %" in ended.out
    bodies = [heard.json for heard in gateway.heard]
    assert len(bodies) == 3
    assert all(body == bodies[0] for body in bodies)
    assert (bodies[0]["delta"], bodies[0]["summary"]) == ("--- a\n+++ b\n", "new")


def test_without_waiting_an_answer_is_only_told(gateway, deltanas, delta):
    gateway.answer("POST", f"{SEARCH}:tell", {**told("proposed"), "lease_had_lapsed": True}, status=202)
    ended = deltanas("task", "tell", "se_1", "tk_1", delta, "--source")
    assert (ended.code, len(gateway.heard)) == (0, 1)
    assert gateway.heard[0].json["source"] == "--- a\n+++ b\n"
    assert "lapsed" in ended.err


@pytest.mark.parametrize(("state", "code"), [("refused", 1), ("duplicate", 1), ("failed", 1), ("lost", 3)])
def test_an_answer_that_came_to_nothing_is_told_by_the_exit_code(gateway, deltanas, delta, state, code):
    failure = {"reason": "delta_rejected", "code": "no_op", "message": "nothing\x1b[2J changes"}
    gateway.answer("POST", f"{SEARCH}:tell", told(state, failure=failure))
    ended = deltanas("task", "tell", "se_1", "tk_1", delta, "--wait", 5)
    assert ended.code == code
    assert "no_op: nothing" in ended.err
    assert "\x1b[2J" not in ended.err


def test_of_a_copy_the_original_is_named(gateway, deltanas, delta):
    like = {
        "scope": "corpus", "layer": "jaccard", "similarity": 0.95312, "name": "lemur/\x1b[2JResNet",
        "proposal_id": None, "penalty": 0.0,
    }  # fmt: skip
    gateway.answer("POST", f"{SEARCH}:tell", told("duplicate", likeness=like))
    told_of = deltanas("task", "tell", "se_1", "tk_1", delta, "--wait", 5).err
    assert "not new: a copy of lemur/" in told_of
    assert "(jaccard 0.953, corpus)" in told_of
    assert "\x1b[2J" not in told_of


def test_a_lost_lease_is_bad_usage_with_its_remedy(gateway, deltanas, delta):
    problem = {"code": "lease_lost", "detail": "Somebody else has it.", "remedy": "Ask for a new task."}
    gateway.answer("POST", f"{SEARCH}:tell", problem, status=409)
    ended = deltanas("task", "tell", "se_1", "tk_1", delta)
    assert ended.code == 2
    assert "Ask for a new task." in ended.err


def test_a_task_is_held_and_given_back(gateway, deltanas):
    gateway.answer("POST", f"{SEARCH}:heartbeat", LEASE)
    gateway.answer("POST", f"{SEARCH}:release", LEASE)
    gateway.answer("POST", f"{SEARCH}:release", {**LEASE, "told_at": "2026-01-01T00:01:00Z"})
    assert "2026-01-01T00:30:00Z" in deltanas("task", "heartbeat", "se_1", "tk_1").err
    assert "given back" in deltanas("task", "release", "se_1", "tk_1").err
    assert "told before" in deltanas("task", "release", "se_1", "tk_1").err
    assert deltanas("task", "heartbeat", "se_1", "tk_1", "--json").json == LEASE
