"""Nothing of one tenant is another's to see or touch, on any route that the OpenAPI document knows."""

from dataclasses import dataclass

import pytest
from baseline_scene import imported, network
from fakes import FakeFarm
from fine_tune_scene import FineTuneScene
from gateway_scene import SOURCE, Scene, gateway_in
from search_scene import Scene as LoopScene

from contracts.jobs import DatasetReport
from contracts.names import Integrity
from gateway.app import create_app
from gateway.config import Settings
from gateway.infra.tables import EvaluationRow

VERBS = ("get", "post", "put", "patch", "delete")
FOR_EVERYBODY = {"/v1/baselines/{name}"}
"""Reference networks, shipped and imported, are there for all."""
OPERATORS = {"/v1/tenants/{tenant}", "/v1/tenants/{tenant}:remove"}
BODIES = {
    "/v1/searches/{search_id}:ask": {"agent": "a", "tasks": 1},
    "/v1/searches/{search_id}:tell": {"task_id": "tk_0", "delta": "grow 7"},
    "/v1/searches/{search_id}:heartbeat": {"task_id": "tk_0"},
    "/v1/searches/{search_id}:release": {"task_id": "tk_0"},
    "/v1/keys/{key_id}:rotate": {},
    "/v1/webhook-endpoints/{endpoint_id}": {"enabled": True},
    "/v1/webhook-endpoints/{endpoint_id}:rotate": {},
    "/v1/webhook-endpoints/{endpoint_id}:replay": {"since": "2026-01-01T00:00:00Z"},
}
SECRET = "anns_secret_words"
SOURCE_OF_ANN = SOURCE.replace("    pass\n", f"    {SECRET} = 1\n")


@dataclass
class Street:
    """Ann, who is the gateway's own user and has one of everything; and Bob, who has a key."""

    scene: Scene
    bob: dict[str, str]
    things: dict[str, str]
    """By the name of a path's parameter, what is Ann's."""
    marks: set[str]
    """What must never be in an answer to Bob."""

    def url(self, path: str) -> str:
        parts = dict(self.things)
        if path.startswith("/v1/adapters/"):
            parts["name"] = "manifest.json"
        for name, value in parts.items():
            path = path.replace("{" + name + "}", value)
        assert "{" not in path, f"this test has nothing of Ann's to put into {path}: give her one"
        return path


ROUTES = create_app(Settings(home="/nowhere", conductor=False)).openapi()["paths"]


def _paths(with_parameters: bool) -> list[tuple[str, str]]:
    return [
        (verb.upper(), path)
        for path, verbs in ROUTES.items()
        for verb in verbs
        if verb in VERBS and path.startswith("/v1/") and ("{" in path) is with_parameters
    ]


THINGS = [found for found in _paths(True) if found[1] not in FOR_EVERYBODY | OPERATORS]
COMPARISON = "/v1/diagnostics/filter-effect"
"""Names its things in its query."""
LISTS = [path for verb, path in _paths(False) if verb == "GET" and path not in {"/v1/audit", COMPARISON}]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    with gateway_in(tmp_path_factory.mktemp("street")) as scene:
        scene.agent.heartbeat()
        yield _furnished(scene)


def _furnished(scene: Scene) -> Street:
    services = scene.services
    evaluation = scene.submit(source=SOURCE_OF_ANN, tags=[SECRET])
    scene.agent.report(scene.agent.claim_next())
    tuning = FineTuneScene(scene)
    job_id = tuning.finish()
    body = {
        "name": SECRET, "dataset": "digits", "cycles": 1, "candidates_per_cycle": 2, "final_seeds": 2,
        "proposer": {"kind": "external"}, "baselines": ["oak"],
    }  # fmt: skip
    search_id = scene.http.post("/v1/searches", json=body).json()["id"]
    loop = LoopScene(services.database, search_id, scene.generator, scene.filter)
    for _ in range(2):
        loop.run().advance()
        FakeFarm(services.database).work()
    import_id = imported(scene, network("net-1"))["id"]
    run = scene.http.post("/v1/baselines:smoke", json={"dataset": "digits"}).json()
    with services.database.write() as session:
        services.datasets.owners.reserve(session, "anns-flowers", "local", 0)
    scene.runner.reports.append(DatasetReport("anns-flowers", True, (3, 8, 8), 2, 10, 4, "hash-of-flowers"))
    key = scene.http.post("/v1/keys", json={"label": SECRET}).json()
    (candidate,) = scene.http.get(f"/v1/searches/{search_id}/candidates", params={"limit": 1}).json()["items"]
    endpoint = scene.http.post("/v1/webhook-endpoints", json={"url": "https://93.184.216.34/ann"}).json()
    delivery = scene.http.post(f"/v1/webhook-endpoints/{endpoint['id']}:test").json()
    things = {
        "evaluation_id": evaluation["id"],
        "search_id": search_id,
        "proposal_id": candidate["proposal_id"],
        "job_id": job_id,
        "adapter_id": job_id,
        "import_id": import_id,
        "run_id": run["id"],
        "key_id": key["id"],
        "name": "anns-flowers",
        "endpoint_id": endpoint["id"],
        "delivery_id": delivery["id"],
    }
    _, bob = services.keys.create("bob")
    marks = {*things.values(), SECRET, tuning.search_id, key["key"], key["prefix"], endpoint["secret"]}
    return Street(scene, {"authorization": f"Bearer {bob}"}, things, marks)


@pytest.mark.parametrize(("verb", "path"), THINGS, ids=[f"{verb} {path}" for verb, path in THINGS])
def test_another_tenants_thing_is_not_there(street, verb, path):
    url, body = street.url(path), BODIES.get(path)
    answer = street.scene.http.request(verb, url, json=body, headers=street.bob)
    assert answer.status_code == 404, answer.text
    # Its problem says no more than that of a thing that nobody has.
    for mark in street.marks - set(street.things.values()):
        assert mark not in answer.text
    if verb == "GET" and not path.endswith("/events"):
        assert street.scene.http.get(url).status_code == 200, "and its owner does not see it either"


def test_another_tenants_searches_cannot_be_compared(street):
    search = street.things["search_id"]
    asked = {"with_filter": search, "without_filter": search}
    answer = street.scene.http.get(COMPARISON, params=asked, headers=street.bob)
    assert answer.status_code == 404, answer.text
    assert street.scene.http.get(COMPARISON, params=asked).json()["code"] == "not_a_pair", (
        "the owner's are seen"
    )


@pytest.mark.parametrize("path", LISTS)
def test_no_list_tells_of_another_tenants_things(street, path):
    answer = street.scene.http.get(path, headers=street.bob)
    assert answer.status_code in {200, 403}, answer.text
    for mark in street.marks:
        assert mark not in answer.text


@pytest.mark.parametrize(
    ("path", "thing"),
    [
        ("/v1/evaluations", "evaluation_id"),
        ("/v1/searches", "search_id"),
        ("/v1/fine-tunes", "job_id"),
        ("/v1/adapters", "adapter_id"),
        ("/v1/baselines/imports", "import_id"),
        ("/v1/baselines/smoke-runs", "run_id"),
        ("/v1/datasets", "name"),
        ("/v1/keys", "key_id"),
        ("/v1/webhook-endpoints", "endpoint_id"),
        ("/v1/webhook-deliveries", "delivery_id"),
    ],
)
def test_the_owner_sees_them(street, path, thing):
    assert street.things[thing] in street.scene.http.get(path).text


@pytest.mark.parametrize("query", ["tag={mark}", "cursor={evaluation_id}", "limit=200"])
def test_filters_and_cursors_of_another_tenant_open_nothing(street, query):
    query = query.format(mark=SECRET, **street.things)
    answer = street.scene.http.get(f"/v1/evaluations?{query}", headers=street.bob)
    assert answer.status_code == 200
    assert not any(mark in answer.text for mark in street.marks)


REFERENCES = {
    "a fine-tune on another's elites": ("/v1/fine-tunes", {"model": "tiny", "search_id": "{search_id}"}, 404),
    "a fine-tune from another's adapter": (
        "/v1/fine-tunes",
        {"model": "tiny", "search_id": "{search_id}", "parent_adapter": "{adapter_id}"},
        404,
    ),
    "a search with another's adapter": (
        "/v1/searches",
        {
            "dataset": "digits",
            "adapter": "{adapter_id}",
            "proposer": {"kind": "local_llm", "options": {"model": "tiny"}},
        },
        422,
    ),
    "a search on another's data": ("/v1/searches", {"dataset": "{name}"}, 422),
    "an evaluation on another's data": ("/v1/evaluations", {"source": SOURCE, "dataset": "{name}"}, 422),
    "a smoke run on another's data": ("/v1/baselines:smoke", {"dataset": "{name}"}, 422),
    "novelty against another's search": (
        "/v1/novelty:check",
        {"source": SOURCE, "scope": "{search_id}"},
        404,
    ),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_what_refers_to_another_tenants_thing_is_refused_as_unknown(street, case):
    path, body, status = REFERENCES[case]

    def filled(value):
        if isinstance(value, dict):
            return {name: filled(part) for name, part in value.items()}
        return street.things.get(value[1:-1], value) if isinstance(value, str) else value

    answer = street.scene.http.post(path, json=filled(body), headers=street.bob)
    assert answer.status_code == status, answer.text
    # What is refused is what was sent; of what there is otherwise, nothing is told.
    assert SECRET not in answer.text
    known = answer.json().get("remedy") or ""
    assert not any(mark in known for mark in street.marks)


def test_a_source_that_another_has_measured_is_measured_anew(street):
    again = {"source": SOURCE_OF_ANN, "dataset": "digits"}
    answer = street.scene.http.post("/v1/evaluations", json=again, headers=street.bob)
    assert answer.json()["state"] == "queued"
    assert answer.json().get("reused_from") is None


def test_an_idempotency_key_of_another_tenant_is_free(street):
    headers = {"idempotency-key": "ours"}
    body = {"source": SOURCE, "dataset": "digits", "seed": 77}
    mine = street.scene.http.post("/v1/evaluations", json=body, headers=headers)
    other = street.scene.http.post("/v1/evaluations", json=body, headers=headers | street.bob)
    assert (mine.status_code, other.status_code) == (202, 202)
    assert mine.json()["id"] != other.json()["id"]
    assert "idempotent-replayed" not in other.headers


def test_strict_splits_are_each_tenants_own(street):
    body = {"source": SOURCE, "dataset": "digits", "seed": 78, "integrity": Integrity.STRICT.value}
    answers = [
        street.scene.http.post("/v1/evaluations", json=body, headers=headers) for headers in ({}, street.bob)
    ]
    with street.scene.services.database.read() as session:
        keys = {session.get(EvaluationRow, answer.json()["id"]).split_key for answer in answers}
    assert len(keys) == 2


def test_another_tenants_data_set_is_not_among_what_hosts_offer(street):
    street.scene.agent.heartbeat(datasets=tuple(street.scene.runner.reports))
    offered = street.scene.http.get("/v1/capabilities", headers=street.bob).text
    assert "anns-flowers" not in offered
    assert "hash-of-flowers" not in offered
    assert "anns-flowers" in street.scene.http.get("/v1/capabilities").text
    street.scene.agent.heartbeat()


def test_a_name_of_another_tenants_data_set_cannot_be_taken(street):
    octets = {"content-type": "application/octet-stream"}
    answer = street.scene.http.post(
        "/v1/datasets?name=anns-flowers", content=b"x", headers=octets | street.bob
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_name_taken")
    assert "anns-flowers" not in street.scene.runner.uploaded


def test_the_front_page_shows_ones_own(street):
    assert street.things["search_id"] in street.scene.http.get("/").text
    page = street.scene.http.get("/", headers=street.bob).text
    assert not any(mark in page for mark in street.marks)


def test_the_audit_log_tells_each_tenant_of_itself_alone(street):
    street.scene.http.post("/v1/deltas:apply", json={}, headers=street.bob)
    street.scene.http.post("/v1/keys", json={"label": "another"}, headers=street.bob)
    entries = street.scene.http.get("/v1/audit?tenant=local", headers=street.bob).json()["items"]
    assert entries
    assert {entry["tenant"] for entry in entries} == {"bob"}


def test_the_test_above_meets_every_kind_of_thing():
    assert len(THINGS) >= 30
    assert len(LISTS) >= 12
