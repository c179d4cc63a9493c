"""`deltanas search replay`: what came out the same, and what did not."""

import pytest

CANDIDATE = "se_1-c001-s003"
ROUTE = f"/v1/searches/se_1/candidates/{CANDIDATE}:replay"


def evaluation(state, accuracy=None, reason=None):
    return {
        "id": "ev_1", "state": state, "attempts": [],
        "measurement": None if accuracy is None else {"accuracy": accuracy},
        "failure": None if reason is None else {"reason": reason, "message": "so \x1b[2J it is"},
    }  # fmt: skip


def prepare(gateway, ended, proposed=True, applied=True):
    asked = {
        "proposal_id": CANDIDATE, "proposed_again": proposed, "applied_again": applied,
        "recorded_accuracy": 0.8125, "evaluation": evaluation("queued"),
    }  # fmt: skip
    gateway.answer("POST", ROUTE, asked, status=202)
    gateway.answer("GET", "/v1/evaluations/ev_1", ended)


def test_all_the_same_is_shown_and_exits_with_0(gateway, deltanas):
    prepare(gateway, evaluation("succeeded", 0.8125))
    ended = deltanas("search", "replay", "se_1", CANDIDATE)
    assert ended.code == 0
    rows = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "proposed the same" in rows
    assert "scored the same 0.8125 0.8125" in rows


def test_another_score_in_the_last_bit_is_another(gateway, deltanas):
    prepare(gateway, evaluation("succeeded", 0.8125000000000001))
    ended = deltanas("search", "replay", "se_1", CANDIDATE, "--json")
    assert ended.code == 1
    assert ended.json["scored_again"] is False


@pytest.mark.parametrize(
    ("proposed", "applied", "code"), [(False, True, 1), (True, False, 1), (None, True, 0)]
)
def test_what_cannot_be_repeated_is_no_difference(gateway, deltanas, proposed, applied, code):
    prepare(gateway, evaluation("succeeded", 0.8125), proposed, applied)
    assert deltanas("search", "replay", "se_1", CANDIDATE).code == code


@pytest.mark.parametrize(("reason", "code"), [("train_error", 1), ("infrastructure", 3)])
def test_a_run_that_fails_now_is_told_apart_from_a_platform_that_fails(gateway, deltanas, reason, code):
    prepare(gateway, evaluation("failed", reason=reason))
    ended = deltanas("search", "replay", "se_1", CANDIDATE)
    assert ended.code == code
    assert reason in ended.err
    assert "\x1b" not in ended.err
