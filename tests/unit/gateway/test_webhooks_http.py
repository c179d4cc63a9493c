"""`/v1/webhook-endpoints`, callbacks and deliveries: what a tenant registers, is told, and can look up."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from gateway_scene import SOURCE, gateway_in
from standardwebhooks import Webhook, WebhookVerificationError
from webhook_receivers import answering, receiver

from gateway.domain.webhook_targets import HOST_REMEDY, TargetRules
from gateway.infra.database import utc_now
from gateway.infra.events import signal_after_commit
from gateway.infra.webhook_lookups import HostLookups
from gateway.infra.webhook_tables import WebhookDeliveryRow
from gateway.infra.webhook_transport import LookupFailed
from gateway.routes.problems import RequestProblem
from gateway.routes.webhook_intake import require_receiver

ANYWHERE = {
    "webhook_http": True,
    "webhook_ports": frozenset(range(1, 65536)),
    "webhook_allow": ("127.0.0.1", "hooks.example.org"),
}
PATIENCE = 20


@pytest.fixture(scope="module")
def open_scene(tmp_path_factory):
    """A gateway whose operator allows receivers on this machine."""
    with gateway_in(tmp_path_factory.mktemp("home"), **ANYWHERE) as scene:
        scene.agent.heartbeat()
        yield scene


@contextmanager
def listening(act=None):
    with receiver(act or answering(204)) as found:
        found.url = f"http://127.0.0.1:{found.port}/hook"
        yield found


@pytest.fixture
def found():
    with listening() as one:
        yield one


def register(scene, url, **fields) -> dict:
    answer = scene.http.post("/v1/webhook-endpoints", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def get(scene, path, **query) -> dict:
    answer = scene.http.get(f"/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def settled(scene, delivery_id: str, times: int = 1) -> dict:
    """A delivery once it was tried so often."""
    for _ in range(PATIENCE * 20):
        delivery = get(scene, f"webhook-deliveries/{delivery_id}")
        if len(delivery["tries"]) >= times and delivery["state"] in {"delivered", "failed", "pending"}:
            return delivery
        found = scene.services.database.signals
        with found.in_thread("webhooks") as bell:
            bell.wait(0.05)
    raise AssertionError(f"{delivery} was not tried")


def delivery_of(scene, subject: dict, endpoint_id: str | None) -> dict:
    items = get(scene, "webhook-deliveries", subject_id=subject["id"])["items"]
    (item,) = (item for item in items if item["endpoint_id"] == endpoint_id)
    return settled(scene, item["id"])


def request_of(raw: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:]), body


def test_an_evaluation_that_ends_is_told_of_and_the_signature_is_the_standards(open_scene, found):
    scene = open_scene
    endpoint = register(scene, found.url, event_types=["evaluation.succeeded"])
    assert endpoint["secret"].startswith("whsec_")
    evaluation = scene.submit(seed=101)
    scene.agent.report(scene.agent.claim_next())
    delivery = delivery_of(scene, evaluation, endpoint["id"])
    assert (delivery["state"], [t["status"] for t in delivery["tries"]]) == ("delivered", [204])
    headers, body = request_of(found.requests[0])
    told = Webhook(endpoint["secret"]).verify(body, headers)
    assert told["type"] == "evaluation.succeeded"
    assert told["data"] == {
        "id": evaluation["id"],
        "state": "succeeded",
        "url": f"/v1/evaluations/{evaluation['id']}",
        "reason": None,
    }
    assert told["timestamp"].endswith("Z")
    assert headers["webhook-id"] == delivery["message_id"]
    assert body.decode() == delivery["payload"]
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(body.replace(b"succeeded", b"cancelled"), headers)
    scene.http.delete(f"/v1/webhook-endpoints/{endpoint['id']}")


def test_an_endpoint_is_told_of_what_it_chose_and_never_sees_its_secret_again(open_scene, found):
    scene = open_scene
    endpoint = register(scene, found.url, event_types=["evaluation.cancelled", "search.*"])
    secret = endpoint.pop("secret")
    assert get(scene, f"webhook-endpoints/{endpoint['id']}") == endpoint
    assert secret not in scene.http.get("/v1/webhook-endpoints").text
    finished = scene.submit(seed=102)
    scene.agent.report(scene.agent.claim_next())
    cancelled = scene.submit(seed=103)
    scene.http.delete(f"/v1/evaluations/{cancelled['id']}")
    assert get(scene, "webhook-deliveries", subject_id=finished["id"])["items"] == []
    assert delivery_of(scene, cancelled, endpoint["id"])["event_type"] == "evaluation.cancelled"
    scene.http.delete(f"/v1/webhook-endpoints/{endpoint['id']}")


def test_a_callback_is_told_of_one_evaluation_and_signed_with_the_tenants_secret(open_scene, found):
    scene = open_scene
    secret = scene.http.post("/v1/webhook-callback-secret:rotate", json={}).json()["secret"]
    evaluation = scene.submit(seed=104, callback_url=found.url)
    other = scene.submit(seed=105)
    for _ in range(2):
        scene.agent.report(scene.agent.claim_next())
    assert delivery_of(scene, evaluation, None)["state"] == "delivered"
    headers, body = request_of(found.requests[0])
    assert Webhook(secret).verify(body, headers)["data"]["id"] == evaluation["id"]
    assert get(scene, "webhook-deliveries", subject_id=other["id"])["items"] == []


def test_a_callback_is_told_also_where_the_record_answers_at_once(open_scene, found):
    scene = open_scene
    first = scene.submit(seed=106)
    scene.agent.report(scene.agent.claim_next())
    assert scene.read(first)["state"] == "succeeded"
    again = scene.submit(seed=106, callback_url=found.url)
    assert again["state"] == "succeeded"
    assert delivery_of(scene, again, None)["event_type"] == "evaluation.succeeded"


def test_each_item_of_a_batch_has_its_own_callback(open_scene, found):
    scene = open_scene
    items = [
        {"source": SOURCE, "dataset": "digits", "seed": 107, "callback_url": found.url},
        {"source": SOURCE, "dataset": "digits", "seed": 108, "callback_url": "https://10.0.0.1/"},
        {"source": SOURCE, "dataset": "digits", "seed": 109},
    ]
    answered = scene.http.post("/v1/evaluations:batch", json={"items": items}).json()["items"]
    assert [item["error"] and item["error"]["code"] for item in answered] == [
        None,
        "webhook_address_refused",
        None,
    ]
    for item in (answered[0], answered[2]):
        scene.http.delete(f"/v1/evaluations/{item['evaluation']['id']}")
    assert delivery_of(scene, answered[0]["evaluation"], None)["event_type"] == "evaluation.cancelled"
    assert get(scene, "webhook-deliveries", subject_id=answered[2]["evaluation"]["id"])["items"] == []


def test_an_answer_with_a_secret_is_kept_by_nobody_on_the_way(scene):
    headers = {"idempotency-key": "once"}
    for _ in range(2):
        made = scene.http.post("/v1/webhook-endpoints", json={"url": "https://1.1.1.1/"}, headers=headers)
        assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    for path in (f"webhook-endpoints/{made.json()['id']}:rotate", "webhook-callback-secret:rotate"):
        rotated = scene.http.post(f"/v1/{path}", json={})
        assert (rotated.status_code, rotated.headers["cache-control"]) == (200, "no-store")


def test_a_secret_is_rotated_without_a_message_that_nobody_can_check(open_scene, found):
    scene = open_scene
    endpoint = register(scene, found.url)
    url = f"/v1/webhook-endpoints/{endpoint['id']}"
    newer = scene.http.post(f"{url}:rotate", json={"overlap_hours": 1}).json()
    assert newer["old_secret_expires_at"]
    assert newer["secret"] != endpoint["secret"]
    settled(scene, scene.http.post(f"{url}:test").json()["id"])
    headers, body = request_of(found.requests[0])
    for secret in (endpoint["secret"], newer["secret"]):
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"
    newest = scene.http.post(f"{url}:rotate", json={"overlap_hours": 0}).json()
    assert newest["old_secret_expires_at"] is None
    settled(scene, scene.http.post(f"{url}:test").json()["id"])
    headers, body = request_of(found.requests[1])
    Webhook(newest["secret"]).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(newer["secret"]).verify(body, headers)
    scene.http.delete(url)


def test_a_receiver_that_refuses_is_tried_again_under_the_same_id(open_scene):
    scene = open_scene
    statuses = iter([500, 302, 200])
    with listening(lambda connection: answering(next(statuses), "", b"<b>no</b>")(connection)) as found:
        endpoint = register(scene, found.url)
        delivery = scene.http.post(f"/v1/webhook-endpoints/{endpoint['id']}:test").json()
        first = settled(scene, delivery["id"])
        assert (first["state"], first["tries"][0]["status"]) == ("pending", 500)
        assert first["tries"][0]["excerpt"] == "<b>no</b>"
        assert first["next_try_at"] > first["tries"][0]["at"]
        shown = get(scene, f"webhook-endpoints/{endpoint['id']}")
        assert (shown["enabled"], shown["failing_since"] is not None) == (True, True)
        for times in (2, 3):
            hurry(scene, delivery["id"])
            last = settled(scene, delivery["id"], times)
    assert (last["state"], [t["status"] for t in last["tries"]]) == ("delivered", [500, 302, 200])
    ids = {request_of(raw)[0]["webhook-id"] for raw in found.requests}
    assert (len(found.requests), ids) == (3, {last["message_id"]})
    assert get(scene, f"webhook-endpoints/{endpoint['id']}")["failing_since"] is None
    scene.http.delete(f"/v1/webhook-endpoints/{endpoint['id']}")


def hurry(scene, delivery_id: str) -> None:
    """The time of its next try has come."""
    with scene.services.database.write() as session:
        session.get(WebhookDeliveryRow, delivery_id).due_at = utc_now()
        signal_after_commit(session, "webhooks")


def test_gone_disables_an_endpoint_until_it_is_enabled_and_replayed(open_scene):
    scene = open_scene
    statuses = iter([410, 200])
    with listening(lambda connection: answering(next(statuses))(connection)) as found:
        endpoint = register(scene, found.url)
        url = f"/v1/webhook-endpoints/{endpoint['id']}"
        delivery = settled(scene, scene.http.post(f"{url}:test").json()["id"])
        assert delivery["state"] == "failed"
        shown = scene.http.get(url).json()
        assert (shown["enabled"], shown["disabled"]["reason"]) == (False, "gone")
        for refused in (f"{url}:test", f"/v1/webhook-deliveries/{delivery['id']}:replay"):
            answer = scene.http.post(refused)
            assert (answer.status_code, answer.json()["code"]) == (409, "webhook_endpoint_disabled")
        evaluation = scene.submit(seed=110)
        scene.http.delete(f"/v1/evaluations/{evaluation['id']}")
        assert get(scene, "webhook-deliveries", subject_id=evaluation["id"])["items"] == []
        enabled = scene.http.patch(url, json={"enabled": True}).json()
        assert (enabled["enabled"], enabled["disabled"]) == (True, None)
        assert scene.http.post(f"{url}:replay", json={}).json() == {"replayed": 1}
        assert settled(scene, delivery["id"], 2)["state"] == "delivered"
        again = scene.http.post(f"/v1/webhook-deliveries/{delivery['id']}:replay")
        assert again.status_code == 202
        assert again.json()["message_id"] == delivery["message_id"]
    scene.http.delete(url)


def test_a_message_on_its_way_goes_to_the_new_url(open_scene, found):
    scene = open_scene
    with listening(answering(503)) as away:
        endpoint = register(scene, away.url)
        url = f"/v1/webhook-endpoints/{endpoint['id']}"
        delivery = settled(scene, scene.http.post(f"{url}:test").json()["id"])
        pending = scene.http.post(f"/v1/webhook-deliveries/{delivery['id']}:replay")
        assert (pending.status_code, pending.json()["code"]) == (409, "webhook_delivery_pending")
        assert scene.http.patch(url, json={"url": found.url}).json()["url"] == found.url
        hurry(scene, delivery["id"])
        assert settled(scene, delivery["id"], 2)["state"] == "delivered"
    assert len(found.requests) == 1
    scene.http.delete(url)


def test_an_endpoint_that_is_removed_is_told_nothing_more(open_scene):
    scene = open_scene
    with listening(answering(503)) as away:
        endpoint = register(scene, away.url)
        url = f"/v1/webhook-endpoints/{endpoint['id']}"
        delivery = settled(scene, scene.http.post(f"{url}:test").json()["id"])
        assert scene.http.delete(url).status_code == 204
        assert scene.http.get(url).status_code == 404
        ended = get(scene, f"webhook-deliveries/{delivery['id']}")
        assert (ended["state"], ended["next_try_at"]) == ("failed", None)
        answer = scene.http.post(f"/v1/webhook-deliveries/{delivery['id']}:replay")
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_endpoint_unknown")


def test_lists_of_deliveries_are_paged_and_chosen_from(open_scene, found):
    scene = open_scene
    endpoint = register(scene, found.url)
    url = f"/v1/webhook-endpoints/{endpoint['id']}"
    ids = [scene.http.post(f"{url}:test").json()["id"] for _ in range(3)]
    for delivery_id in ids:
        settled(scene, delivery_id)
    first = get(scene, "webhook-deliveries", endpoint_id=endpoint["id"], limit=2)
    second = get(
        scene, "webhook-deliveries", endpoint_id=endpoint["id"], limit=2, cursor=first["next_cursor"]
    )
    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None
    assert get(scene, "webhook-deliveries", endpoint_id=endpoint["id"], state="failed")["items"] == []
    scene.http.delete(url)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://127.0.0.1/", "webhook_address_refused"),
        ("https://169.254.169.254/latest/meta-data/", "webhook_address_refused"),
        ("https://[::ffff:10.0.0.1]/", "webhook_address_refused"),
        ("https://0x7f.1/", "webhook_host_refused"),
        ("https://localhost/", "webhook_host_refused"),
        ("http://example.org/", "webhook_url_not_https"),
        ("https://example.org:22/", "webhook_port_refused"),
        ("https://me@example.org/", "webhook_url_malformed"),
    ],
)
def test_a_url_that_no_webhook_goes_to_is_refused_wherever_it_is_given(scene, url, code):
    asked = {"source": SOURCE, "dataset": "digits", "callback_url": url}
    for path, body, field in (
        ("webhook-endpoints", {"url": url}, "url"),
        ("evaluations", asked, "callback_url"),
        ("searches", {"dataset": "digits", "callback_url": url}, "callback_url"),
        ("fine-tunes", {"model": "m", "search_id": "se_1", "callback_url": url}, "callback_url"),
    ):
        answer = scene.http.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert answer.json()["field"] == field
        assert answer.json()["remedy"]
    assert scene.stored() == 0
    assert get(scene, "webhook-endpoints")["items"] == []


@pytest.mark.parametrize(
    "found",
    [["10.0.0.1"], ["1.1.1.1", "169.254.169.254"], [], LookupFailed("NXDOMAIN"), LookupFailed("SERVFAIL")],
)
def test_a_refusal_does_not_tell_inner_names_from_unknown_ones(scene, found, caplog):
    caplog.set_level("INFO")

    def resolve(_host, _port):
        if isinstance(found, LookupFailed):
            raise found
        return found

    lookups = HostLookups(TargetRules(), resolve)
    problem = _refusal(lookups, scene, "https://wiki.corp.example/hook")
    assert problem == {
        "status": 422,
        "code": "webhook_address_refused",
        "detail": "wiki.corp.example must resolve to public addresses only.",
        "field": "url",
        "value": "https://wiki.corp.example/hook",
        "remedy": HOST_REMEDY,
    }
    assert "DELTANAS_WEBHOOK_ALLOW" in HOST_REMEDY
    assert "wiki.corp.example" in caplog.text, "the operator may know why"


def test_a_name_server_that_hangs_is_no_other_refusal(scene):
    lookups = HostLookups(TargetRules(), lambda *_: threading.Event().wait(5) or [], patience_seconds=0.05)
    problem = _refusal(lookups, scene, "https://wiki.corp.example/hook")
    assert problem["detail"] == "wiki.corp.example must resolve to public addresses only."
    assert problem["code"] == "webhook_address_refused"


def _refusal(lookups, scene, url) -> dict:
    services = replace(scene.services, webhook_lookups=lookups)
    with pytest.raises(RequestProblem) as caught:
        require_receiver(services, "oak", "url", url)
    told = caught.value.document
    return {name: told[name] for name in ("status", "code", "detail", "field", "value", "remedy")}


def test_no_tenant_sees_anothers_endpoints_or_deliveries(tmp_path, found):
    with gateway_in(tmp_path) as scene:
        keys = [scene.services.keys.create(tenant)[1] for tenant in ("oak", "elm")]
    with gateway_in(tmp_path, require_keys=True, **ANYWHERE) as scene:
        oak, elm = ({"authorization": f"Bearer {key}"} for key in keys)
        made = scene.http.post("/v1/webhook-endpoints", json={"url": found.url}, headers=oak).json()
        url = f"/v1/webhook-endpoints/{made['id']}"
        delivery = scene.http.post(f"{url}:test", headers=oak).json()
        assert scene.http.get(f"/v1/webhook-deliveries/{delivery['id']}", headers=oak).status_code == 200
        for path in ("/v1/webhook-endpoints", "/v1/webhook-deliveries"):
            assert scene.http.get(path, headers=elm).json()["items"] == []
            assert len(scene.http.get(path, headers=oak).json()["items"]) == 1
        for method, path, body in (
            ("GET", url, None),
            ("PATCH", url, {"enabled": False}),
            ("DELETE", url, None),
            ("POST", f"{url}:rotate", {}),
            ("POST", f"{url}:test", None),
            ("POST", f"{url}:replay", {}),
            ("GET", f"/v1/webhook-deliveries/{delivery['id']}", None),
            ("POST", f"/v1/webhook-deliveries/{delivery['id']}:replay", None),
        ):
            answer = scene.http.request(method, path, json=body, headers=elm)
            assert answer.status_code == 404, (method, path, answer.text)
        assert scene.http.get("/v1/webhook-endpoints").status_code == 401
        scene.agent.heartbeat()
        evaluation = scene.submit(headers=elm)
        scene.http.delete(f"/v1/evaluations/{evaluation['id']}", headers=elm)
        assert len(scene.http.get("/v1/webhook-deliveries", headers=oak).json()["items"]) == 1


def test_the_same_idempotency_key_registers_one_endpoint(open_scene, found):
    scene = open_scene
    headers = {"idempotency-key": "once"}
    answers = [
        scene.http.post("/v1/webhook-endpoints", json={"url": found.url}, headers=headers) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["location"].endswith(answers[0].json()["id"])
    scene.http.delete(f"/v1/webhook-endpoints/{answers[0].json()['id']}")


def test_a_tenant_has_so_many_endpoints_and_no_more(scene):
    for _ in range(16):
        register(scene, "https://1.1.1.1/")
    answer = scene.http.post("/v1/webhook-endpoints", json={"url": "https://1.1.1.1/"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhook_endpoints")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": "https://1.1.1.1/", "event_types": ["evaluation.started"]},
        {"url": "https://1.1.1.1/", "event_types": "evaluation.failed"},
        {"url": "https://1.1.1.1/", "description": "two\nlines"},
        {"url": "https://1.1.1.1/", "secret": "whsec_mine"},
        {"url": 5},
    ],
)
def test_what_is_no_endpoint_is_refused_by_field(scene, body):
    answer = scene.http.post("/v1/webhook-endpoints", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert json.dumps(answer.json()["field"])
