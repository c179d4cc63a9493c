"""The generator's HTTP surface: what it serves, what it refuses, and in which words."""

import json

import pytest
from fastapi.testclient import TestClient
from mutation_sources import BLOCKS
from pydantic import TypeAdapter

from contracts.jobs import AppliedDelta, BaselineNetwork
from contracts.proposals import ProposalLine
from contracts.service_gate import token_digest
from generator_svc.app import create_app
from generator_svc.config import GeneratorSettings
from generator_svc.deltas import canonical_delta


@pytest.fixture(scope="module")
def client():
    app = create_app(GeneratorSettings(service_token_sha256=token_digest("secret")))
    with TestClient(app, headers={"Authorization": "Bearer secret"}, raise_server_exceptions=False) as client:
        yield client


def slot(number=0, **changes):
    return {"slot": number, "seed": number, "baseline_source": BLOCKS, "baseline_id": "b", **changes}


def request(*slots, **changes):
    body = {"search_id": "se_1", "cycle": 1, "proposer": "mutation", "dataset": "mnist", "slots": slots}
    return {**body, **changes}


def test_proposals_come_as_one_line_each_in_the_order_of_the_slots(client):
    answer = client.post("/v1/proposals", json=request(slot(4), slot(2), slot(7)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [TypeAdapter(ProposalLine).validate_json(line) for line in answer.text.splitlines()]
    proposals = [line.proposal for line in lines]
    assert [proposal.slot for proposal in proposals] == [4, 2, 7]
    assert all(proposal.answer and not proposal.failure for proposal in proposals)


def test_a_repeated_request_is_answered_alike(client):
    body = request(slot(1), slot(2))
    assert client.post("/v1/proposals", json=body).text == client.post("/v1/proposals", json=body).text


def test_a_request_without_slots_only_asks_whether_it_would_work(client):
    assert client.post("/v1/proposals", json=request()).text == ""
    assert client.post("/v1/proposals", json=request(proposer="oracle")).status_code == 422


def test_a_baseline_that_cannot_be_mutated_is_data_and_does_not_stop_the_others(client):
    answer = client.post("/v1/proposals", json=request(slot(0, baseline_source="x = ("), slot(1)))
    first, second = (json.loads(line)["proposal"] for line in answer.text.splitlines())
    assert "cannot be mutated" in first["failure"]
    assert second["answer"]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (request(slot(), proposer="oracle"), "proposer", "Known: mutation, openai_compatible."),
        (request(*(slot(i) for i in range(9))), "slots", "at most 8"),
        (request(slot(1), slot(1)), "slots", "same number"),
        (request(slot(-1)), "slots.0.slot", "at least 0"),
        (request(slot(0, seed=-1)), "slots.0.seed", "between"),
        (request(slot(0, seed=2**63)), "slots.0.seed", "between"),
        (request(slot(0, seed="x")), "slots.0.seed", "integer"),
        (request(slot(0, baseline_source="x" * 70_000)), "slots.0.baseline_source", "65536"),
        (request(slot(), cycle=-1), "cycle", "at least 0"),
        (request(slot(), dataset="x" * 201), "dataset", "200"),
        (request(slot(), adapter="x" * 201), "adapter", "200"),
        (request(slot(0, baseline_accuracy=1.5)), "slots.0.baseline_accuracy", "between 0 and 1"),
        (
            request(slot(0, history=[{"problem": "", "change": "", "outcome": ""}] * 21)),
            "slots.0.history",
            "at most 20",
        ),
        (request(slot(), options={"weights": {"widht": 1}}), "options.weights.widht", "unknown mutation"),
        ({"search_id": "x"}, "cycle", "required"),
    ],
)
def test_a_request_that_cannot_be_served_names_the_field_and_the_remedy(client, body, field, words):
    answer = client.post("/v1/proposals", json=body)
    document = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["field"] == field
    assert words in document["detail"]
    assert document["remedy"]


def test_a_delta_is_applied_to_a_source_and_to_a_named_baseline(client):
    changed = BLOCKS.replace("(8, 16)", "(12, 16)")
    answer = client.post(
        "/v1/deltas:apply", json={"baseline_source": BLOCKS, "delta": canonical_delta(BLOCKS, changed)}
    )
    assert TypeAdapter(AppliedDelta).validate_json(answer.text).source == changed
    source = client.get("/v1/baselines/plain-cnn").json()["source"]
    delta = canonical_delta(
        source, source.replace("import torch.nn as nn", "import torch\nimport torch.nn as nn")
    )
    assert (
        client.post("/v1/deltas:apply", json={"baseline": "plain-cnn", "delta": delta}).json()["status"]
        == "applied"
    )


def test_a_delta_that_does_not_fit_is_data(client):
    answer = client.post("/v1/deltas:apply", json={"baseline": "plain-cnn", "delta": "prose"})
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["reason"]) == ("refused", "no_diff_found")


def test_a_delta_that_goes_where_no_edits_are_allowed_is_refused_by_name(client):
    changed = BLOCKS.replace("(8, 16)", "(12, 16)")
    body = {"baseline_source": BLOCKS, "delta": canonical_delta(BLOCKS, changed)}
    refused = client.post("/v1/deltas:apply", json={**body, "edits": {"never": ["__init__"]}}).json()
    assert (refused["status"], refused["reason"]) == ("refused", "forbidden_region")
    assert "`Net.__init__`" in refused["message"]
    assert (refused["source"], refused["canonical_delta"], refused["confidence"]) == (None, None, 0.0)
    allowed = client.post("/v1/deltas:apply", json={**body, "edits": {"only": ["__init__"]}}).json()
    assert allowed["source"] == changed


def test_a_refusal_says_what_to_tell_the_model_and_success_does_not(client):
    bad = "--- a\n+++ b\n@@ -1,2 +1,2 @@\n import torch\n-no such line\n+another\n"
    asked = {"baseline_source": BLOCKS, "with_repair": True}
    refused = client.post("/v1/deltas:apply", json={**asked, "delta": bad}).json()
    assert (refused["status"], refused["source"]) == ("refused", None)
    assert "no such line" in refused["repair_prompt"]
    assert len(refused["repair_prompt"]) <= 6000
    good = canonical_delta(BLOCKS, BLOCKS.replace("(8, 16)", "(12, 16)"))
    applied = client.post("/v1/deltas:apply", json={**asked, "delta": good}).json()
    assert (applied["status"], applied["repair_prompt"]) == ("applied", None)
    unasked = client.post("/v1/deltas:apply", json={"baseline_source": BLOCKS, "delta": bad}).json()
    assert {**unasked, "repair_prompt": refused["repair_prompt"]} == refused
    assert unasked["repair_prompt"] is None


def test_a_whole_network_is_taken_for_an_answer_where_that_is_the_form(client):
    changed = BLOCKS.replace("(8, 16)", "(12, 16)")
    body = {"baseline_source": BLOCKS, "form": "source", "with_repair": True}
    applied = client.post("/v1/deltas:apply", json={**body, "delta": f"```python\n{changed}```"}).json()
    assert (applied["source"], applied["canonical_delta"]) == (changed, canonical_delta(BLOCKS, changed))
    refused = client.post("/v1/deltas:apply", json={**body, "delta": "prose"}).json()
    assert refused["reason"] == "no_source_found"
    assert "complete, corrected `net.py`" in refused["repair_prompt"]


def test_a_result_that_breaks_deployment_limits_is_refused_by_name(client):
    body = {"baseline": "plain-cnn", "dataset": "cifar-10"}
    source = client.get("/v1/baselines/plain-cnn").json()["source"]
    body["delta"] = canonical_delta(source, source.replace("0.1", "0.2"))
    for deployment, reason in (
        ({"forbidden_operators": ["Conv3d", "relu"]}, "forbidden_operator"),
        ({"max_parameters": 1000}, "too_many_parameters"),
        ({"max_flops": 1000}, "too_many_flops"),
    ):
        answer = client.post("/v1/deltas:apply", json={**body, "deployment": deployment}).json()
        assert (answer["status"], answer["reason"]) == ("refused", reason)
    assert client.post("/v1/deltas:apply", json=body).json()["status"] == "applied"


@pytest.mark.parametrize(
    ("deployment", "field"),
    [
        ({"forbidden_operators": ["nn.Conv3d"]}, "deployment.forbidden_operators.0"),
        ({"forbidden_operators": ["a", "b\n"]}, "deployment.forbidden_operators.1"),
        ({"forbidden_operators": ["x"] * 65}, "deployment.forbidden_operators"),
        ({"max_parameters": 0}, "deployment.max_parameters"),
        ({"max_flops": 2**60}, "deployment.max_flops"),
    ],
)
def test_limits_that_nobody_means_are_refused(client, deployment, field):
    for path, body in (
        ("/v1/proposals", request()),
        ("/v1/deltas:apply", {"delta": "x", "baseline": "residual"}),
    ):
        answer = client.post(path, json={**body, "deployment": deployment})
        assert answer.status_code == 422
        assert (answer.json()["field"], bool(answer.json()["remedy"])) == (field, True)


def test_proposals_stay_where_edits_are_allowed(client):
    answer = client.post("/v1/proposals", json=request(slot(0), edits={"only": ["imports"]}))
    assert json.loads(answer.text)["proposal"]["failure"] == "nothing to propose within the allowed regions"


@pytest.mark.parametrize("edits", [{"only": ["x"] * 65}, {"only": ["x" * 251]}])
def test_permissions_that_nobody_means_are_refused(client, edits):
    for path, body in (
        ("/v1/proposals", request()),
        ("/v1/deltas:apply", {"delta": "x", "baseline": "residual"}),
    ):
        answer = client.post(path, json={**body, "edits": edits})
        assert answer.status_code == 422
        assert answer.json()["field"].startswith("edits.only")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"delta": "x"}, "baseline_source"),
        ({"delta": "x", "baseline": "plain-cnn", "baseline_source": "y"}, "baseline_source"),
        ({"delta": "x", "baseline": "nothing"}, "baseline"),
        ({"delta": "x" * 140_000, "baseline": "plain-cnn"}, "delta"),
        ({"delta": "x", "baseline_source": "y" * 70_000}, "baseline_source"),
        ({"baseline": "plain-cnn"}, "delta"),
    ],
)
def test_a_wrong_delta_request_names_the_field(client, body, field):
    answer = client.post("/v1/deltas:apply", json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_the_baselines_are_listed_and_read(client):
    items = TypeAdapter(list[BaselineNetwork]).validate_python(client.get("/v1/baselines").json()["items"])
    assert len(items) >= 6
    assert {item.contract for item in items} == {"plain", "lemur"}
    assert all(item.description.endswith(".") and item.family for item in items)
    assert client.get(f"/v1/baselines/{items[0].name}").json()["source"] == items[0].source


def test_an_unknown_baseline_is_404(client):
    answer = client.get("/v1/baselines/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_body_of_10_megabytes_is_refused_before_it_is_read(client):
    answer = client.post("/v1/proposals", content=b"x" * 10_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_only_callers_with_the_token_come_in_and_health_is_open(client):
    anonymous = {"Authorization": "Bearer wrong"}
    assert client.get("/v1/baselines", headers=anonymous).status_code == 401
    assert client.get("/healthz", headers=anonymous).json() == {"status": "ok"}
    assert client.get("/readyz", headers=anonymous).status_code == 200
