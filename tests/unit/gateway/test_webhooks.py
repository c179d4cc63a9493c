"""Which events there are, what a message says, when it is tried again, and how it is signed. Pure."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from gateway.domain.webhooks import (
    EVENT_TYPES,
    FAILING_FOR,
    RETRY_DELAYS_SECONDS,
    SigningSecret,
    TryOutcome,
    disabling_reason,
    message,
    retry_delay_seconds,
    rotated,
    secrets_in_force,
    wants,
    webhook_event,
)
from gateway.infra.webhook_endpoints import new_secret
from gateway.infra.webhook_signatures import signed_headers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


NO_FAILURE = {"reason": None}
SUCCEEDED = {"state": "succeeded", "failure": None}
FAILED = {"state": "failed", "failure": {"reason": "stalled", "message": "it stands still"}}
PAUSED = {"state": "paused", "paused_by": {"code": "key_refused"}}


@pytest.mark.parametrize(
    ("topic", "kind", "data", "told", "more"),
    [
        ("evaluation:ev_1", "finished", SUCCEEDED, "evaluation.succeeded", NO_FAILURE),
        ("evaluation:ev_1", "finished", FAILED, "evaluation.failed", {"reason": "stalled"}),
        ("evaluation:ev_1", "finished", {"state": "cancelled"}, "evaluation.cancelled", NO_FAILURE),
        ("search:se_1", "finished", {"state": "failed", "failure": "none ran"}, "search.failed", {}),
        ("search:se_1", "finished", SUCCEEDED, "search.succeeded", {}),
        ("search:se_1", "finished", {"state": "cancelled", "failure": None}, "search.cancelled", {}),
        ("search:se_1", "cycle_finished", {"cycle": 3, "elites": []}, "search.cycle_finished", {"cycle": 3}),
        ("search:se_1", "state", {"state": "paused"}, "search.paused", NO_FAILURE),
        ("search:se_1", "state", PAUSED, "search.paused", {"reason": "key_refused"}),
        ("fine-tune:ft_1", "finished", SUCCEEDED, "fine_tune.succeeded", NO_FAILURE),
        ("fine-tune:ft_1", "finished", FAILED, "fine_tune.failed", {"reason": "stalled"}),
        ("fine-tune:ft_1", "finished", {"state": "cancelled"}, "fine_tune.cancelled", NO_FAILURE),
    ],
)
def test_each_end_is_told_thinly(topic, kind, data, told, more):
    event = webhook_event(topic, kind, data)
    assert event.type == told
    subject = topic.partition(":")[2]
    state = "running" if kind == "cycle_finished" else told.partition(".")[2]
    path = event.data["url"]
    assert dict(event.data) == {"id": subject, "state": state, "url": path, **more}
    assert path.endswith(f"/{subject}")
    assert event.is_last == (kind == "finished")


def test_every_type_that_can_be_chosen_happens_and_no_other():
    ends = ("succeeded", "failed", "cancelled")
    words = ("evaluation", "search", "fine-tune")
    told = {
        webhook_event(f"{word}:x", "finished", {"state": end}).type
        for word, end in itertools.product(words, ends)
    }
    told |= {webhook_event("search:x", "cycle_finished", {"cycle": 0}).type}
    told |= {webhook_event("search:x", "state", {"state": "paused"}).type}
    assert told == set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("topic", "kind", "data"),
    [
        ("evaluation:ev_1", "queued", {"state": "queued"}),
        ("evaluation:ev_1", "running", {"state": "running"}),
        ("search:se_1", "state", {"state": "running", "waiting_for": "paused"}),
        ("search:se_1", "state", {"state": "succeeded"}),
        ("search:se_1", "slot", {}),
        ("search:se_1", "fine_tune_finished", {"state": "failed"}),
        ("fine-tune:ft_1", "step", {"step": 1}),
        ("smoke-run:sm_1", "finished", {"state": "succeeded"}),
        ("queue", "finished", {}),
    ],
)
def test_most_events_are_for_followers_alone(topic, kind, data):
    assert webhook_event(topic, kind, data) is None


def test_a_message_has_the_standards_form():
    assert message("search.paused", NOW, {"id": "se_1"}) == {
        "type": "search.paused",
        "timestamp": "2026-01-02T03:04:05Z",
        "data": {"id": "se_1"},
    }


def test_an_endpoint_chooses_types_or_whole_groups():
    assert wants([], "search.paused")
    assert wants(["search.*"], "search.paused")
    assert wants(["search.paused"], "search.paused")
    assert not wants(["evaluation.*", "search.failed"], "search.paused")


def test_ten_tries_within_some_three_days_and_each_wait_has_its_jitter():
    waits = [retry_delay_seconds(tries, None, 0.0) for tries in range(1, 11)]
    assert waits == [*RETRY_DELAYS_SECONDS, None]
    assert timedelta(days=3) < timedelta(seconds=sum(waits[:-1])) < timedelta(days=4)
    assert retry_delay_seconds(3, None, 0.5) == pytest.approx(1800 * 1.1)
    assert retry_delay_seconds(1, None, 0.999) < 6


def test_a_receivers_wish_is_honoured_up_to_a_day_and_makes_no_try_earlier():
    assert retry_delay_seconds(1, 120.0, 0.0) == 120
    assert retry_delay_seconds(2, 120.0, 0.0) == 300
    assert retry_delay_seconds(1, 1e9, 0.0) == 86_400
    assert retry_delay_seconds(10, 120.0, 0.0) is None


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 304, 400, 404, 410, 429, 500, 503])
def test_nothing_but_2xx_is_taken(status):
    assert not TryOutcome(status, None, "", 0.1).is_taken
    assert all(TryOutcome(taken, None, "", 0.1).is_taken for taken in (200, 201, 202, 204, 299))


def test_an_endpoint_is_disabled_when_it_is_gone_or_fails_for_days():
    refused, gone = TryOutcome(500, None, "", 0.1), TryOutcome(410, None, "", 0.1)
    assert disabling_reason(gone, None, NOW) == "gone"
    assert disabling_reason(refused, None, NOW) is None
    assert disabling_reason(refused, NOW - FAILING_FOR + timedelta(seconds=1), NOW) is None
    assert disabling_reason(refused, NOW - FAILING_FOR, NOW) == "failing"


def test_two_secrets_are_valid_for_a_while_and_never_three():
    first = (SigningSecret("one"),)
    second = rotated(first, "two", NOW, timedelta(hours=24))
    assert secrets_in_force(second, NOW) == ("two", "one")
    assert secrets_in_force(second, NOW + timedelta(hours=25)) == ("two",)
    third = rotated(second, "three", NOW, timedelta(hours=24))
    assert secrets_in_force(third, NOW) == ("three", "two")
    assert secrets_in_force(rotated(second, "three", NOW, timedelta(0)), NOW) == ("three",)


def test_a_signature_is_that_of_the_published_example():
    # The test vector of the reference libraries of Standard Webhooks.
    headers = signed_headers(
        "msg_loFOjxBNrRLzqYUf",
        datetime.fromtimestamp(1731705121, UTC),
        '{"event_type":"ping","data":{"success":true}}',
        ["whsec_plJ3nmyCDGBKInavdOK15jsl"],
    )
    assert headers["webhook-id"] == "msg_loFOjxBNrRLzqYUf"
    assert headers["webhook-timestamp"] == "1731705121"
    assert headers["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_while_two_secrets_are_valid_a_message_has_both_signatures():
    secrets = [new_secret(), new_secret()]
    assert len({*secrets}) == 2
    headers = signed_headers("msg_1", datetime.now(UTC), '{"a":"ü"}', secrets)
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in secrets:
        assert Webhook(secret).verify('{"a":"ü"}', headers) == {"a": "ü"}
