"""`deltanas attack`: what people, programs and shells get to know of what the attackers tell."""

import json

import pytest

from deltanas.cli import attack

BACKENDS = [
    {"name": "namespaces", "tier": "namespaces", "available": True, "problems": [], "details": {}},
    {
        "name": "docker+runc", "tier": "docker+runc", "available": False,
        "problems": ["no engine answers; systemctl start docker"], "details": {},
    },
]  # fmt: skip
TRIAL = {
    "event": "trial", "backend": "namespaces", "specimen": "fork_bomb", "section": "Processes",
    "attack": "Forks.", "expected": "pids_limit", "got": "pids_limit", "message": "", "seconds": 1.5,
    "held": True, "shortcomings": [], "aftermath": [],
}  # fmt: skip
BEGUN = {"event": "begun", "backends": BACKENDS}
OPENED = {
    "event": "opened", "backend": "namespaces", "accuracy": 0.6, "specimens": 1,
    "untested": ["fills_the_gpu"],
}  # fmt: skip
STARTED = {"event": "started", "backend": "namespaces", "specimen": "fork_bomb"}
ENDED = {
    "event": "ended", "backend": "namespaces", "aftermath": [],
    "accounting": {"processes": {"before": 0, "after": 0}},
}  # fmt: skip
HELD = [BEGUN, OPENED, STARTED, TRIAL, ENDED, {"event": "verdict", "code": 0}]
BREACHED = {
    **TRIAL, "held": False, "got": "61.00 %",
    "shortcomings": ["it was scored \x1b[2J"], "aftermath": ["cgroups: 5 instead of 4"],
}  # fmt: skip


@pytest.fixture
def attacked(deltanas, monkeypatch):
    """Run the command while the attackers tell these events."""

    def run(events, *words):
        heard = [json.loads(json.dumps(event)) for event in events]

        def attack_nobody(asked, hear):
            run.asked = asked
            for event in heard:
                hear(event)

        monkeypatch.setattr(attack, "_attack", attack_nobody)
        return deltanas("attack", *words)

    return run


def test_sandboxes_that_hold_are_shown_and_the_untested_named_with_their_remedy(attacked):
    ended = attacked(HELD)
    assert ended.code == 0
    assert "✓  fork_bomb" in ended.out
    assert "an honest network scores 60.00 %" in ended.out
    assert "✓  processes" in ended.out
    assert "namespaces held: 1 specimens" in ended.out
    assert "not tested: docker+runc" in ended.out
    assert "no engine answers" in ended.out
    assert "→ systemctl start docker" in ended.out
    assert "for want of a GPU: fills_the_gpu" in ended.out


def test_a_breach_is_shown_with_everything_that_is_amiss_and_cannot_steer_the_terminal(attacked):
    ended = attacked([BEGUN, OPENED, STARTED, BREACHED, ENDED, {"event": "verdict", "code": 1}])
    assert ended.code == 1
    assert "✗  fork_bomb" in ended.out
    assert "→ it was scored" in ended.out
    assert "→ cgroups: 5 instead of 4" in ended.out
    assert "namespaces did not hold: 1 of 1" in ended.out
    assert "\x1b" not in ended.out
    assert "✗ fork_bomb on namespaces" in ended.err


def test_json_is_one_document_and_nothing_else(attacked):
    ended = attacked(HELD, "--json")
    assert ended.err == ""
    assert ended.json["held"] is True
    held, untested = ended.json["backends"]
    assert held["untested"] == ["fills_the_gpu"]
    assert [trial["specimen"] for trial in held["trials"]] == ["fork_bomb"]
    assert held["accounting"] == ENDED["accounting"]
    assert untested["problems"]
    assert "trials" not in untested


def test_a_machine_where_nothing_can_be_tested_exits_3_and_says_where_to_look(attacked):
    ended = attacked(
        [{**BEGUN, "backends": [BACKENDS[1]]}, {"event": "verdict", "code": 3}], "--backend", "docker+runc"
    )
    assert ended.code == 3
    assert attacked.asked == ["--backend=docker+runc", "--only=*"]
    assert "deltanas doctor" in ended.out


def test_an_unfit_worker_is_told_as_not_tested(attacked):
    unfit = {"event": "unfit", "backend": "namespaces", "detail": "an honest network came to: 1, 2"}
    ended = attacked([BEGUN, unfit, {"event": "verdict", "code": 3}])
    assert ended.code == 3
    assert "an honest network came to: 1, 2" in ended.out


def test_words_that_the_attackers_refuse_are_bad_usage(attacked):
    ended = attacked([{"event": "refused", "detail": "no specimen is called 'x'"}], "--only", "x")
    assert ended.code == 2
    assert "no specimen is called 'x'" in ended.err


def test_attackers_that_fail_themselves_are_a_broken_platform_and_never_a_breach(deltanas, monkeypatch):
    monkeypatch.setattr(attack, "_ATTACKERS", "sandbox_runner.no_such_module")
    ended = deltanas("attack")
    assert ended.code == 3
    assert "No module named" in ended.err
