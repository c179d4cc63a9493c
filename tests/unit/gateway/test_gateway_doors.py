import pytest
from gateway_scene import SOURCE, TOKEN, gateway_in

from gateway.bootstrap import KeysRequired
from gateway.infra.home_lock import HomeLocked

GOOD = {"source": SOURCE, "dataset": "digits"}
PUBLIC = {"gateway_address": "http://0.0.0.0:8000"}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def test_a_public_address_without_keys_refuses_to_start(tmp_path):
    with pytest.raises(KeysRequired), gateway_in(tmp_path, **PUBLIC):
        pass


def test_a_tenant_sees_only_its_own(tmp_path):
    with gateway_in(tmp_path) as scene:
        (ann_id, ann), (_, bob) = scene.services.keys.create("ann"), scene.services.keys.create("bob")
    with gateway_in(tmp_path, **PUBLIC) as scene:
        scene.agent.heartbeat()
        http = scene.http
        made = http.post("/v1/evaluations", json=GOOD, headers=bearer(ann) | {"idempotency-key": "k"}).json()
        url = f"/v1/evaluations/{made['id']}"
        for method, path in (("GET", url), ("DELETE", url), ("GET", url + "/logs"), ("GET", url + "/events")):
            assert http.request(method, path, headers=bearer(bob)).status_code == 404
        assert http.get("/v1/evaluations", headers=bearer(bob)).json()["items"] == []
        assert http.get(url, headers=bearer(ann)).json()["state"] == "queued"
        # Neither the Idempotency-Key nor the result of another tenant is this one's.
        scene.agent.report(scene.agent.claim_next())
        other = http.post("/v1/evaluations", json=GOOD, headers=bearer(bob) | {"idempotency-key": "k"}).json()
        assert other["id"] != made["id"]
        assert other["state"] == "queued"
        assert scene.services.keys.revoke(ann_id)
        assert http.get(url, headers=bearer(ann)).status_code == 401


@pytest.mark.parametrize("key", [None, "dn_wrong", TOKEN])
def test_beyond_loopback_every_call_needs_a_key_in_force(tmp_path, key):
    with gateway_in(tmp_path) as scene:
        scene.services.keys.create("ann")
    with gateway_in(tmp_path, **PUBLIC) as scene:
        answer = scene.http.get("/v1/evaluations", headers=bearer(key) if key else {})
        code = "api_key_not_in_force" if key else "api_key_required"
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["remedy"]
        assert scene.http.get("/healthz").status_code == 200


def test_keys_are_stored_as_digests_only(scene):
    _, key = scene.services.keys.create("ann", "laptop")
    scene.services.database.engine.dispose()
    files = scene.services.settings.home.glob("gateway.sqlite3*")
    assert not any(key.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/internal/v1/agents/a:heartbeat"),
        ("GET", "/internal/v1/agents/a/next"),
        ("POST", "/internal/v1/attempts/at_0:claim"),
        ("POST", "/internal/v1/attempts/at_0:report"),
        ("GET", "/internal/nothing"),
    ],
)
def test_the_agents_protocol_needs_the_service_token(scene, method, path, headers):
    assert scene.http.request(method, path, headers=headers).status_code == 401


def test_without_a_service_token_no_agent_is_let_in(tmp_path):
    with gateway_in(tmp_path, service_token=None) as scene:
        for token in ("", TOKEN):
            answer = scene.http.get(
                "/internal/v1/agents/a/next", headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1", "localhost@evil"]
)
def test_a_name_that_is_not_loopback_is_refused(scene, host):
    answer = scene.http.get("/v1/evaluations", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_loopback_goes_by_all_its_names(scene, host):
    assert scene.http.get("/v1/evaluations", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_a_foreign_page_can_change_nothing(scene, headers):
    answer = scene.http.post("/v1/evaluations", json=GOOD, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin_refused")
    assert scene.stored() == 0


def test_the_gateways_own_page_may(scene):
    scene.submit(headers={"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"})


def test_two_gateways_never_share_a_state_folder(tmp_path):
    with gateway_in(tmp_path), pytest.raises(HomeLocked), gateway_in(tmp_path):
        pass


def test_the_state_folder_is_private(tmp_path):
    with gateway_in(tmp_path / "new") as scene:
        assert scene.services.settings.home.stat().st_mode & 0o077 == 0


def test_every_answer_bears_its_request_id(scene):
    assert scene.http.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert scene.http.get("/v1/nothing").headers["x-request-id"]
    assert scene.http.get("/healthz", headers={"host": "evil"}).headers["x-request-id"]
    forged = scene.http.get("/healthz", headers={"x-request-id": "a b"}).headers["x-request-id"]
    assert forged != "a b"


def test_an_unforeseen_error_is_a_problem_document_without_its_insides(scene, monkeypatch):
    def explode(*_args, **_kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(scene.generator, "baselines", explode)
    answer = scene.http.get("/v1/baselines")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("written", ["nas.lan", "nas.lan, Other.LAN", "other.lan nas.lan"])
def test_further_hosts_are_named_in_the_environment_with_commas(tmp_path, monkeypatch, written):
    monkeypatch.setenv("DELTANAS_ALLOWED_HOSTS", written)
    with gateway_in(tmp_path) as scene:
        for host, status in (("NAS.lan:8000", 200), ("127.0.0.1", 200), ("evil.lan", 421)):
            assert scene.http.get("/healthz", headers={"host": host}).status_code == status
