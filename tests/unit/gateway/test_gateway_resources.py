import json
import re
import threading
import warnings
from dataclasses import replace

import pytest
from fastapi import FastAPI
from gateway_scene import SOURCE

from contracts.proposals import DataShape
from contracts.syntax import ONE_AT_A_TIME
from gateway.routes.api_document import document_of


def test_readiness_names_every_reason(scene):
    answer = scene.http.get("/readyz").json()
    assert (answer["status"], answer["reasons"]) == ("ready", [])
    assert list(answer["checks"]) == ["disk", "database", "agents", "generator", "filter", "runner"]
    assert all(check["ok"] for check in answer["checks"].values())
    scene.agent.heartbeat(tier=None, backends=())
    scene.generator.unreachable = scene.runner.unreachable = True
    answer = scene.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [
        "no agent has a sandbox backend",
        "generator cannot be reached",
        "runner cannot be reached",
    ]


def test_capabilities_add_up_what_live_agents_offer(scene):
    offered = scene.http.get("/v1/capabilities").json()
    assert (offered["tier"], offered["slots"], offered["devices"]) == ("namespaces", 2, ["cpu"])
    assert offered["datasets"] == ["digits"]
    assert offered["agents"][0]["id"] == "agent-1"


def test_health_needs_nothing(scene):
    assert scene.http.get("/healthz").json() == {"status": "ok"}


def test_the_api_describes_itself_without_the_agents_protocol(scene):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as two routes of one name
        paths = scene.http.get("/openapi.json").json()["paths"]
    assert "/v1/evaluations:batch" in paths
    assert not any(path.startswith("/internal") for path in paths)


def test_nobody_parses_while_the_document_is_derived(monkeypatch):
    """Where two threads parse at once, some Pythons fail either of them (python/cpython issue 106905)."""
    app, free = FastAPI(), []

    def derive(**_asked):
        other = threading.Thread(target=lambda: free.append(ONE_AT_A_TIME.acquire(blocking=False)))
        other.start()
        other.join()
        return {"components": {"schemas": {}}, "paths": {}}

    monkeypatch.setattr("gateway.routes.api_document.get_openapi", derive)
    assert document_of(app, keyless=True)()["components"]["schemas"]
    assert free == [False]


def test_the_api_pages_load_nothing_from_elsewhere(scene):
    page = scene.http.get("/docs")
    assert page.status_code == 200
    assert "http" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    parts = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page.text)
    assert len(parts) == 3
    for part in parts:
        answer = scene.http.get(part)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(("text/javascript", "text/css"))
        assert len(answer.content) > 100
    assert scene.http.get("/docs/other.js").status_code == 404
    assert scene.http.get("/redoc").status_code == 404


def test_baselines_are_listed_and_read(scene):
    assert [b["name"] for b in scene.http.get("/v1/baselines").json()["items"]] == ["oak", "elm"]
    assert "'elm'" in scene.http.get("/v1/baselines/elm").json()["source"]


def test_a_delta_is_applied_or_refused_as_an_answer(scene):
    applied = scene.http.post("/v1/deltas:apply", json={"baseline": "oak", "delta": "grow 3"}).json()
    assert applied["status"] == "applied"
    assert "grown_by_3" in applied["source"]
    body = {"baseline_source": SOURCE, "delta": "unplaceable"}
    refused = scene.http.post("/v1/deltas:apply", json=body)
    assert refused.status_code == 200
    assert (refused.json()["status"], refused.json()["reason"]) == ("refused", "hunk_unplaceable")


def test_costs_of_a_delta_are_counted_for_a_data_set_that_is_named(scene):
    body = {"baseline": "oak", "delta": "grow 3", "deployment": {"max_flops": 900}}
    unnamed = scene.http.post("/v1/deltas:apply", json=body)
    assert (unnamed.status_code, unnamed.json()["field"]) == (422, "dataset")
    unknown = scene.http.post("/v1/deltas:apply", json={**body, "dataset": "nothing"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_dataset")
    scene.generator.data_shapes.clear()
    assert scene.http.post("/v1/deltas:apply", json={**body, "dataset": "digits"}).status_code == 200
    assert scene.generator.data_shapes == {DataShape(1, 8, 8, 10)}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"baseline": "yew", "delta": "x"}, "baseline"),
        ({"baseline_source": "x = 1", "delta": "x"}, "baseline_source"),
        ({"baseline": "oak"}, "delta"),
        ({"delta": "x"}, "baseline"),
        ({"baseline": "oak", "baseline_source": SOURCE, "delta": "x"}, "baseline"),
        ({"baseline": "oak", "delta": "x" * 200_000}, "delta"),
        ({"baseline": "oak", "delta": "\ud800"}, "delta"),
    ],
)
def test_a_delta_request_that_makes_no_sense_names_its_field(scene, body, field):
    content, headers = json.dumps(body), {"content-type": "application/json"}
    answer = scene.http.post("/v1/deltas:apply", content=content, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.json()["remedy"]


def test_novelty_is_checked_against_the_baselines_which_are_admitted_when_needed(scene):
    scene.filter.scopes.clear()
    known = scene.http.get("/v1/baselines/oak").json()["source"]
    copy = scene.http.post("/v1/novelty:check", json={"source": known}).json()
    assert (copy["novel"], copy["nearest"][0]["id"]) == (False, "library-oak")
    assert scene.http.post("/v1/novelty:check", json={"source": SOURCE}).json()["novel"] is True
    (library,) = scene.filter.scopes.values()
    assert sorted(library) == ["library-elm", "library-oak"]


def test_after_the_baselines_have_changed_novelty_means_the_new_ones(scene, monkeypatch):
    scene.filter.scopes.clear()
    scene.http.post("/v1/novelty:check", json={"source": SOURCE})
    old = scene.generator.baselines()
    changed = [replace(network, source=network.source + "tuned = 1\n") for network in old]
    monkeypatch.setattr(scene.generator, "baselines", lambda: changed)
    answers = [
        scene.http.post("/v1/novelty:check", json={"source": source}).json()
        for source in (old[0].source, changed[0].source)
    ]
    assert [answer["novel"] for answer in answers] == [True, False]


def test_novelty_in_a_search_that_is_not_yours_is_not_found(scene):
    answer = scene.http.post("/v1/novelty:check", json={"source": SOURCE, "scope": "se_0"})
    assert (answer.status_code, answer.json()["code"]) == (404, "search_unknown")


def test_novelty_of_a_broken_source_names_the_field(scene):
    answer = scene.http.post("/v1/novelty:check", json={"source": "x ="})
    assert (answer.status_code, answer.json()["field"]) == (422, "source")


def test_datasets_are_listed_read_and_prepared(scene):
    items = scene.http.get("/v1/datasets").json()["items"]
    assert [(item["name"], item["ready"]) for item in items] == [("digits", True), ("svhn", False)]
    answer = scene.http.post("/v1/datasets/svhn:prepare")
    assert (answer.status_code, answer.headers["location"]) == (202, "/v1/datasets/svhn")
    assert scene.http.get("/v1/datasets/svhn").json()["ready"] is False


def test_ones_own_data_streams_through_to_the_runner(scene):
    chunks = [bytes([number]) * 65_536 for number in range(20)]
    headers = {"content-type": "application/octet-stream"}
    answer = scene.http.post("/v1/datasets", params={"name": "mine"}, content=iter(chunks), headers=headers)
    assert (answer.status_code, answer.json()["name"]) == (201, "mine")
    assert scene.runner.uploaded["mine"] == b"".join(chunks)


@pytest.mark.parametrize(
    ("name", "content_type", "status"),
    [("../etc", "application/octet-stream", 422), ("mine", "application/json", 415)],
)
def test_data_that_cannot_be_taken_is_refused(scene, name, content_type, status):
    answer = scene.http.post(
        "/v1/datasets", params={"name": name}, content=b"x", headers={"content-type": content_type}
    )
    assert answer.status_code == status


def test_datasets_are_known_from_agents_while_the_runner_is_away(scene):
    scene.runner.unreachable = True
    assert [item["name"] for item in scene.http.get("/v1/datasets").json()["items"]] == ["digits"]
    assert scene.submit()["state"] == "queued"
