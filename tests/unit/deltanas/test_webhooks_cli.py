"""`deltanas webhooks` against a gateway that gives prepared answers."""

import pytest

ENDPOINT = {
    "id": "we_1", "url": "https://hooks.example.org/a", "description": "", "event_types": ["search.*"],
    "enabled": True, "disabled": None, "failing_since": None, "old_secret_expires_at": None,
    "created_at": "2026-01-02T03:04:05Z",
}  # fmt: skip
TRY = {
    "at": "2026-01-02T03:04:06Z", "seconds": 0.2, "status": 500, "error": None,
    "message": "It answered 500.", "excerpt": "no \x1b[2J",
}  # fmt: skip
DELIVERY = {
    "id": "wd_1", "message_id": "msg_1", "event_type": "webhook.test", "subject_id": None,
    "endpoint_id": "we_1", "url": "https://hooks.example.org/a", "state": "pending", "tries": [],
    "next_try_at": "2026-01-02T03:04:05Z", "created_at": "2026-01-02T03:04:05Z", "finished_at": None,
    "payload": "{}",
}  # fmt: skip
TWO_HOURS = {"overlap_hours": 2}
ENDPOINTS, DELIVERIES = "/v1/webhook-endpoints", "/v1/webhook-deliveries"


def test_an_endpoint_is_registered_and_its_secret_is_all_that_is_printed(gateway, deltanas):
    gateway.answer("POST", ENDPOINTS, ENDPOINT | {"secret": "whsec_abc"}, status=201)
    ended = deltanas("webhooks", "add", ENDPOINT["url"], "--event", "search.*")
    assert (ended.code, ended.out) == (0, "whsec_abc\n")
    assert "not shown again" in ended.err
    assert gateway.heard[0].json == {
        "url": ENDPOINT["url"],
        "event_types": ["search.*"],
        "description": "",
    }


def test_a_url_that_is_refused_is_bad_usage_with_its_remedy(gateway, deltanas):
    problem = {
        "status": 422, "code": "webhook_address_refused", "detail": "10.0.0.1 is not a public address.",
        "field": "url", "value": "https://10.0.0.1/", "remedy": "Use a host on the internet.",
    }  # fmt: skip
    gateway.answer("POST", ENDPOINTS, problem, status=422)
    ended = deltanas("webhooks", "add", "https://10.0.0.1/")
    assert ended.code == 2
    assert "not a public address" in ended.err
    assert "Use a host on the internet." in ended.err


def test_the_list_says_where_nothing_goes_and_why(gateway, deltanas):
    disabled = {"reason": "gone", "message": "It answered 410 Gone."}
    failing = ENDPOINT | {"id": "we_2", "failing_since": "2026-01-01T00:00:00Z", "event_types": []}
    gone = ENDPOINT | {"id": "we_3", "enabled": False, "disabled": disabled}
    gateway.answer("GET", ENDPOINTS, {"items": [ENDPOINT, failing, gone], "next_cursor": None})
    out = deltanas("webhooks", "list").out
    for part in ("enabled", "failing since 2026-01-01", "It answered 410 Gone", "search.*", "all events"):
        assert part in out


@pytest.mark.parametrize(
    ("words", "method", "path", "sent"),
    [
        (("enable", "we_1"), "PATCH", f"{ENDPOINTS}/we_1", {"enabled": True}),
        (("disable", "we_1"), "PATCH", f"{ENDPOINTS}/we_1", {"enabled": False}),
        (("remove", "we_1"), "DELETE", f"{ENDPOINTS}/we_1", None),
        (("replay", "wd_1"), "POST", f"{DELIVERIES}/wd_1:replay", None),
        (("replay", "we_1"), "POST", f"{ENDPOINTS}/we_1:replay", {}),
        (("rotate-secret", "we_1", "--overlap", "2"), "POST", f"{ENDPOINTS}/we_1:rotate", TWO_HOURS),
        (("callback-secret",), "POST", "/v1/webhook-callback-secret:rotate", {"overlap_hours": 24}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [True, False])
def test_each_verb_asks_for_what_it_says(gateway, deltanas, words, method, path, sent, as_json):
    answer = ENDPOINT | {"secret": "whsec_abc", "replayed": 3}
    gateway.answer(method, path, answer, status=204 if method == "DELETE" else 200)
    ended = deltanas("webhooks", *words, *(["--json"] if as_json else []))
    assert ended.code == 0, ended.err
    assert (gateway.heard[0].json if sent is not None else None) == sent
    if as_json:
        assert ended.json
        assert ended.err == ""


def test_a_test_that_arrives_is_told_and_one_that_does_not_ends_with_1(gateway, deltanas):
    gateway.answer("POST", f"{ENDPOINTS}/we_1:test", DELIVERY, status=202)
    taken = DELIVERY | {"state": "delivered", "tries": [TRY | {"status": 204, "message": "It answered 204."}]}
    gateway.answer("GET", f"{DELIVERIES}/wd_1", taken)
    ended = deltanas("webhooks", "test", "we_1")
    assert (ended.code, "It answered 204." in ended.err) == (0, True)


def test_a_test_that_is_refused_ends_with_1(gateway, deltanas):
    gateway.answer("POST", f"{ENDPOINTS}/we_1:test", DELIVERY, status=202)
    gateway.answer("GET", f"{DELIVERIES}/wd_1", DELIVERY | {"tries": [TRY]})
    ended = deltanas("webhooks", "test", "we_1", "--json")
    assert (ended.code, ended.json["tries"][0]["status"]) == (1, 500)


def test_the_log_and_one_delivery_cannot_steer_a_terminal(gateway, deltanas):
    failed = DELIVERY | {"state": "failed", "tries": [TRY | {"error": "timeout", "message": "slow \x1b[1m"}]}
    gateway.answer("GET", DELIVERIES, {"items": [failed], "next_cursor": None})
    gateway.answer("GET", f"{DELIVERIES}/wd_1", failed)
    listed = deltanas("webhooks", "log", "--endpoint", "we_1", "--state", "failed")
    shown = deltanas("webhooks", "show", "wd_1")
    assert "timeout: slow" in listed.out
    assert "msg_1" in shown.out
    assert "\x1b" not in listed.out + shown.out
    assert gateway.heard[0].query == {"limit": "50", "endpoint_id": "we_1", "state": "failed"}
