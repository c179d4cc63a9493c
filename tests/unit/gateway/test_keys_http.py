"""API keys over HTTP: made once, scoped, expiring, rotated, revoked; what they did is written down."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from gateway_scene import SOURCE, gateway_in

from gateway.domain.access import CALLS, OPERATIONS, TENANT_SCOPES, KeyScope, scopes_for
from gateway.infra import api_keys
from gateway.infra.api_keys import ApiKeyStore, TooManyApiKeys
from gateway.infra.audit_log import AuditLog
from gateway.infra.database import Database, StorageUnavailable, utc_now
from gateway.infra.tenant_tables import ApiKeyRow

EVALUATION = {"source": SOURCE, "dataset": "digits"}
PAIR = {"dataset": "digits", "baseline": "oak", "delta": "widen 7"}


@pytest.fixture
def farm(scene):
    """A gateway whose own user is its operator, and which may hand out keys."""
    return scene


def make(scene, **body) -> dict:
    answer = scene.http.post("/v1/keys", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(key: dict) -> dict:
    return {"authorization": f"Bearer {key['key']}"}


def test_a_key_is_shown_once_and_found_by_its_first_characters(farm):
    key = make(farm, tenant="ann", label="laptop", scopes=["read", "submit"], expires_in_days=30)
    assert re.fullmatch(r"dn_[A-Za-z0-9_-]{43}", key["key"])
    assert key["key"].startswith(key["prefix"])
    shown = farm.http.get(f"/v1/keys/{key['id']}").json()
    assert shown == {name: value for name, value in key.items() if name != "key"}
    assert (shown["tenant"], shown["scopes"], shown["in_force"]) == ("ann", ["read", "submit"], True)
    assert key["key"] not in farm.http.get("/v1/keys").text


@pytest.mark.parametrize(
    ("scopes", "method", "path", "body", "status"),
    [
        (["read"], "GET", "/v1/evaluations", None, 200),
        (["submit"], "GET", "/v1/evaluations", None, 403),
        (["read"], "POST", "/v1/evaluations", EVALUATION, 403),
        (["submit"], "POST", "/v1/evaluations", EVALUATION, 202),
        (["search"], "POST", "/v1/evaluations", EVALUATION, 403),
        (["submit"], "POST", "/v1/searches", {"dataset": "digits"}, 403),
        (["search"], "POST", "/v1/searches", {"dataset": "digits"}, 202),
        (["read", "submit", "search"], "GET", "/v1/keys", None, 403),
        (["admin"], "GET", "/v1/keys", None, 200),
        (["admin"], "POST", "/v1/evaluations", EVALUATION, 202),
        (["admin"], "GET", "/v1/tenants", None, 403),
        (["operator"], "GET", "/v1/tenants", None, 200),
        (["operator"], "GET", "/v1/evaluations", None, 403),
        (["operator"], "POST", "/v1/evaluations", EVALUATION, 403),
    ],
)
def test_a_key_opens_what_its_scopes_say(farm, scopes, method, path, body, status):
    key = make(farm, tenant="ann", scopes=scopes)
    answer = farm.http.request(method, path, json=body, headers=bearer(key))
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["code"] == "scope_missing"
        assert "deltanas keys create" in answer.json()["remedy"]
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("scope", "path", "body"),
    [
        ("submit", "/v1/evaluations", EVALUATION),
        ("search", "/v1/searches", {"dataset": "digits"}),
        ("search", "/v1/fine-tunes", {"model": "small", "pairs": [PAIR]}),
        ("operator", "/v1/datasets/svhn:prepare", None),
        ("admin", "/v1/datasets/svhn:prepare", None),
        ("operator", "/v1/baselines:import?origin=lemur", b"not a wheel"),
    ],
)
def test_who_starts_something_may_see_how_far_it_is_and_nothing_else(farm, scope, path, body):
    headers = bearer(make(farm, tenant="ann", scopes=[scope]))
    if isinstance(body, bytes):
        octets = {**headers, "content-type": "application/octet-stream"}
        started = farm.http.post(path, content=body, headers=octets)
    else:
        started = farm.http.post(path, json=body, headers=headers)
    assert started.status_code == 202, started.text
    seen = farm.http.get(started.headers["location"], headers=headers)
    assert seen.status_code == 200, seen.text
    assert farm.http.get("/v1/quota", headers=headers).status_code == (200 if scope == "admin" else 403)


def test_whose_operations_open_is_said_of_calls_that_there_are(farm):
    paths = farm.http.get("/openapi.json").json()["paths"]
    assert all("get" in paths[path] for path in OPERATIONS)


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/audit", "/v1/keys/{id}"])
@pytest.mark.parametrize("ending", ["", "%0A"])
def test_no_spelling_of_a_path_opens_what_the_scopes_do_not(farm, path, ending):
    # A route's expression takes a newline at a path's end for its end.
    key = make(farm, tenant="ann", scopes=["read"])
    answer = farm.http.get(path.format(id=key["id"]) + ending, headers=bearer(key))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_every_change_of_the_document_is_in_the_list_of_scopes(farm):
    document = farm.http.get("/openapi.json").json()
    changes = {
        (verb.upper(), path)
        for path, verbs in document["paths"].items()
        for verb in verbs
        if verb in {"post", "put", "patch", "delete"} and path.startswith("/v1/")
    }
    assert changes <= set(CALLS), "put these calls into gateway/domain/access.py"
    for method, path in changes:
        assert scopes_for(method, path) == CALLS[method, path]
    assert scopes_for("POST", "/v1/something:new") == {KeyScope.OPERATOR}


@pytest.mark.parametrize(("method", "path"), sorted(CALLS))
def test_every_call_of_the_list_asks_for_what_the_list_says(farm, method, path):
    key = make(farm, tenant="ann", scopes=["read"])
    answer = farm.http.request(method, re.sub(r"\{\w+\}", "x", path), headers=bearer(key))
    assert answer.status_code == 403, answer.text
    assert f"lacks the scope {' or '.join(sorted(CALLS[method, path]))}." in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tenant": "bob"}, "tenant"),
        ({"scopes": ["operator"]}, "scopes"),
        ({"tenant": "ann", "scopes": ["read", "operator"]}, "scopes"),
    ],
)
def test_an_admin_makes_no_keys_of_others_and_no_operators(farm, body, field):
    admin = make(farm, tenant="ann", scopes=["admin"])
    answer = farm.http.post("/v1/keys", json=body, headers=bearer(admin))
    assert (answer.status_code, answer.json()["field"]) == (403, field)
    assert farm.http.post("/v1/keys", json={"label": "own"}, headers=bearer(admin)).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"tenant": "Ann"},
        {"tenant": "a" * 64},
        {"tenant": ""},
        {"scopes": []},
        {"scopes": ["root"]},
        {"expires_in_days": 0},
        {"expires_in_days": 10**9},
        {"label": "x" * 121},
        {"colour": "red"},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(farm, body):
    assert farm.http.post("/v1/keys", json=body).status_code == 422


def test_a_rotated_key_and_its_follower_overlap(farm):
    old = make(farm, tenant="ann", label="ci", scopes=["read"])
    new = farm.http.post(f"/v1/keys/{old['id']}:rotate", json={"overlap_hours": 1}).json()
    assert (new["tenant"], new["label"], new["scopes"]) == ("ann", "ci", ["read"])
    assert new["key"] != old["key"]
    for key in (old, new):
        assert farm.http.get("/v1/evaluations", headers=bearer(key)).status_code == 200
    shown = farm.http.get(f"/v1/keys/{old['id']}").json()
    assert shown["replaced_by"] == new["id"]
    _expire(farm, old)
    answer = farm.http.get("/v1/evaluations", headers=bearer(old))
    assert (answer.status_code, answer.json()["code"]) == (401, "api_key_not_in_force")
    assert "expired" in answer.json()["detail"]
    assert farm.http.post(f"/v1/keys/{old['id']}:rotate", json={}).status_code == 409


def test_rotation_gives_no_key_a_longer_life(farm):
    old = make(farm, tenant="ann", scopes=["read"], expires_in_days=1)
    farm.http.post(f"/v1/keys/{old['id']}:rotate", json={"overlap_hours": 100})
    assert farm.http.get(f"/v1/keys/{old['id']}").json()["expires_at"] == old["expires_at"]


def test_a_follower_lives_as_long_as_the_old_key_was_made_for(farm):
    old = make(farm, tenant="ann", scopes=["read"], expires_in_days=90)
    new = farm.http.post(f"/v1/keys/{old['id']}:rotate", json={}).json()
    days = (datetime.fromisoformat(new["expires_at"]) - utc_now()) / timedelta(days=1)
    assert days == pytest.approx(90, abs=0.1)
    endless = make(farm, tenant="ann", scopes=["read"])
    assert farm.http.post(f"/v1/keys/{endless['id']}:rotate", json={}).json()["expires_at"] is None


def test_a_key_has_one_follower(farm):
    old = make(farm, tenant="ann", scopes=["read"])
    new = farm.http.post(f"/v1/keys/{old['id']}:rotate", json={}).json()
    again = farm.http.post(f"/v1/keys/{old['id']}:rotate", json={})
    assert (again.status_code, again.json()["code"]) == (409, "key_rotated_already")
    assert new["id"] in again.json()["remedy"]


def test_a_tenant_has_so_many_keys_in_force_and_no_more(farm, monkeypatch):
    monkeypatch.setattr(api_keys, "MAX_KEYS", 3)
    admin, *_, last = [make(farm, tenant="ann", scopes=["admin"]) for _ in range(3)]
    refused = farm.http.post("/v1/keys", json={}, headers=bearer(admin))
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")
    assert "deltanas keys list" in refused.json()["remedy"]
    assert farm.http.post(f"/v1/keys/{last['id']}:rotate", json={}).status_code == 201
    make(farm, tenant="bob")
    farm.http.delete(f"/v1/keys/{last['id']}")
    assert farm.http.post("/v1/keys", json={}, headers=bearer(admin)).status_code == 409
    farm.http.delete(f"/v1/keys/{admin['id']}")
    make(farm, tenant="ann")


def test_a_key_is_made_read_rotated_and_revoked_on_each_database(database_url):
    database = Database(database_url)
    keys = ApiKeyStore(database)
    key_id, key = keys.create("ann")
    assert keys.read(key_id, "ann").tenant == keys.find(key).tenant == "ann"
    follower, _ = keys.rotate(key_id, "ann", timedelta(hours=1), None)
    assert keys.read(key_id, None).replaced_by == follower.id
    assert keys.revoke(key_id, "ann")
    assert [found.id for found in keys.all("ann")] == [follower.id, key_id]
    assert keys.any_in_force()
    database.close()


def test_of_many_made_at_once_no_more_keys_are_in_force_than_may_be(database_url, monkeypatch):
    monkeypatch.setattr(api_keys, "MAX_KEYS", 3)
    database = Database(database_url)
    keys, begin = ApiKeyStore(database), Barrier(8)

    def make_one(_: int) -> bool:
        begin.wait()
        try:
            keys.create("ann")
        except TooManyApiKeys:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make_one, range(8))) == 3
    database.close()


def test_keys_that_ended_do_not_pile_up(farm, monkeypatch):
    monkeypatch.setattr(api_keys, "KEPT_ENDED", 2)
    made = [make(farm, tenant="ann") for _ in range(4)]
    for key in made:
        farm.http.delete(f"/v1/keys/{key['id']}")
    last = make(farm, tenant="ann")
    listed = [key["id"] for key in farm.http.get("/v1/keys?tenant=ann").json()["items"]]
    assert listed == [last["id"], made[3]["id"], made[2]["id"]]


def test_a_key_opens_what_is_read_though_its_use_cannot_be_written_down(farm, monkeypatch):
    key = make(farm, tenant="ann", scopes=["read"])
    keys: ApiKeyStore = farm.services.keys

    def full():
        raise StorageUnavailable("disk full")

    half = type("ReadOnly", (), {"write": staticmethod(full), "read": keys._database.read})
    monkeypatch.setattr(keys, "_database", half)
    monkeypatch.setattr(api_keys, "NOTE_AGAIN_SECONDS", 0.0)
    assert farm.http.get("/v1/evaluations", headers=bearer(key)).status_code == 200


def test_a_process_that_answers_says_so_to_whatever_key(farm, monkeypatch):
    def away(_key):
        raise StorageUnavailable("no connection")

    monkeypatch.setattr(farm.services.keys, "find", away)
    headers = {"authorization": "Bearer dn_" + "x" * 43}
    assert farm.http.get("/v1/evaluations", headers=headers).status_code == 503
    assert farm.http.get("/healthz", headers=headers).status_code == 200


def test_a_revoked_key_opens_nothing_from_then_on(farm):
    key = make(farm, tenant="ann", scopes=["read"])
    assert farm.http.delete(f"/v1/keys/{key['id']}").json()["in_force"] is False
    answer = farm.http.get("/v1/evaluations", headers=bearer(key))
    assert answer.status_code == 401
    assert "revoked" in answer.json()["detail"]


def test_the_last_use_is_written_down_now_and_then(farm):
    key = make(farm, tenant="ann", scopes=["read"])
    assert key["last_used_at"] is None
    farm.http.get("/v1/evaluations", headers=bearer(key))
    first = farm.http.get(f"/v1/keys/{key['id']}").json()["last_used_at"]
    assert first is not None
    farm.http.get("/v1/evaluations", headers=bearer(key))
    assert farm.http.get(f"/v1/keys/{key['id']}").json()["last_used_at"] == first


def test_wrong_keys_are_told_to_wait_and_right_ones_from_there_are_not(tmp_path):
    with gateway_in(tmp_path) as scene:
        key = make(scene, tenant="ann", scopes=["read"])
    with gateway_in(tmp_path, require_keys=True) as scene:
        wrong = {"authorization": "Bearer dn_" + "x" * 43}
        begin = time.monotonic()
        answers = [scene.http.get("/v1/evaluations", headers=wrong) for _ in range(25)]
        let_through = [answer.status_code for answer in answers[20:]].count(401)
        assert {answer.status_code for answer in answers[:20]} == {401}
        assert {answer.status_code for answer in answers[20:]} <= {401, 429}
        # 20 a minute: beyond the first ones, one for every three seconds that these took.
        assert let_through <= (time.monotonic() - begin) / 3
        refused = next(answer for answer in answers[20:] if answer.status_code == 429)
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) >= 1
        assert scene.http.get("/v1/evaluations", headers=bearer(key)).status_code == 200


def test_requests_with_keys_are_counted_and_said_in_headers(tmp_path):
    with gateway_in(tmp_path, requests_per_tenant=3, requests_per_address=2) as scene:
        ann, bob = (make(scene, tenant=name, scopes=["read"]) for name in ("ann", "bob"))
        answers = [scene.http.get("/v1/evaluations", headers=bearer(ann)) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"tenant";q=3;w=60'
        assert answers[0].headers["ratelimit"] == '"tenant";r=2;t=20'
        assert answers[3].headers["ratelimit"].startswith('"tenant";r=0')
        assert answers[3].json()["code"] == "too_many_requests"
        assert int(answers[3].headers["retry-after"]) in range(1, 21)
        assert scene.http.get("/v1/evaluations", headers=bearer(bob)).status_code == 200
        # The machine's own user is not counted, and neither are probes.
        assert {scene.http.get("/v1/evaluations").status_code for _ in range(9)} == {200}


def test_a_key_that_makes_keys_asks_no_more_often_with_them(tmp_path):
    with gateway_in(tmp_path, requests_per_tenant=3) as scene:
        admin = make(scene, tenant="ann", scopes=list(TENANT_SCOPES))
        other = make(scene, tenant="bob", scopes=["read"])
        made = scene.http.post("/v1/keys", json={"scopes": ["read"]}, headers=bearer(admin)).json()
        rotated = scene.http.post(f"/v1/keys/{made['id']}:rotate", json={}, headers=bearer(admin)).json()
        for key in (admin, made, rotated):
            answers = [scene.http.get("/v1/evaluations", headers=bearer(key)) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [429] * 3
        assert "tenant" in answers[0].json()["detail"]
        assert scene.http.get("/v1/evaluations", headers=bearer(other)).status_code == 200


def test_without_a_key_requests_are_counted_by_address(tmp_path):
    with gateway_in(tmp_path) as scene:
        make(scene, tenant="ann")
    with gateway_in(tmp_path, require_keys=True, requests_per_address=2) as scene:
        codes = [scene.http.get("/v1/evaluations").status_code for _ in range(3)]
        assert codes == [401, 401, 429]
        assert {scene.http.get("/healthz").status_code for _ in range(5)} == {200}


def test_the_audit_log_says_who_did_what_from_where_and_with_what_outcome(farm):
    admin = make(farm, tenant="ann", scopes=list(TENANT_SCOPES))
    headers = bearer(admin) | {"x-request-id": "mine-7"}
    made = farm.http.post("/v1/evaluations", json=EVALUATION, headers=headers).json()
    farm.http.get("/v1/evaluations", headers=headers)
    farm.http.post("/v1/evaluations", json={"dataset": "digits"}, headers=headers)
    farm.http.post("/v1/tenants/ann", headers=headers)
    found = farm.http.get("/v1/audit", headers=headers).json()["items"]
    assert [(entry["action"], entry["status"]) for entry in found] == [
        ("POST /v1/tenants/{tenant}", 405),
        ("POST /v1/evaluations", 422),
        ("POST /v1/evaluations", 202),
    ]
    done = found[2]
    assert done["target"] == f"/v1/evaluations/{made['id']}"
    assert (done["actor"], done["tenant"], done["request_id"]) == (admin["id"], "ann", "mine-7")
    assert done["address"] == "testclient"
    everything = farm.http.get("/v1/audit").text
    assert "POST /v1/keys" in everything
    for secret in (admin["key"], "torch"):
        assert secret not in everything


def test_the_audit_log_is_paged_and_filtered(farm):
    keys = [make(farm, tenant=tenant, scopes=["admin"]) for tenant in ("ann", "bob")]
    for key in keys * 2:
        farm.http.post("/v1/keys", json={}, headers=bearer(key))
    page = farm.http.get("/v1/audit?limit=2&tenant=ann").json()
    assert {entry["tenant"] for entry in page["items"]} == {"ann"}
    assert page["next_cursor"] is None
    first = farm.http.get("/v1/audit?limit=4").json()
    rest = farm.http.get(f"/v1/audit?limit=4&cursor={first['next_cursor']}").json()
    ids = [entry["id"] for entry in first["items"] + rest["items"]]
    assert len(ids) == 6
    assert ids == sorted(ids, reverse=True)
    own = farm.http.get(f"/v1/audit?actor={keys[1]['id']}").json()["items"]
    assert {entry["actor"] for entry in own} == {keys[1]["id"]}


def test_an_entry_that_could_not_be_written_is_written_with_the_next(farm, monkeypatch):
    admin = make(farm, tenant="ann", scopes=["admin"])
    audit: AuditLog = farm.services.audit
    write = audit._database.write

    def full():
        raise StorageUnavailable("disk full")

    monkeypatch.setattr(audit, "_database", type("Full", (), {"write": staticmethod(full)}))
    # What was asked for is done and answered all the same.
    assert farm.http.post("/v1/keys", json={"label": "first"}, headers=bearer(admin)).status_code == 201
    monkeypatch.undo()
    assert audit._database.write == write
    farm.http.post("/v1/keys", json={"label": "second"}, headers=bearer(admin))
    assert len(farm.http.get("/v1/audit?tenant=ann").json()["items"]) == 2


def _expire(scene, key: dict) -> None:
    keys: ApiKeyStore = scene.services.keys
    with keys._database.write() as session:
        session.get_one(ApiKeyRow, key["id"]).expires_at = utc_now() - timedelta(seconds=1)
