"""Searches that are refused: every bad request names its field and remedy, and changes nothing."""

import json

import pytest
from search_over_http import GOOD, finish, get, raising, start

from contracts.jobs import DatasetReport
from contracts.proposals import ProposerBlocked
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused

BAD = {
    "no dataset": ({"dataset": None}, "dataset", "invalid_request"),
    "unknown dataset": ({"dataset": "nothing"}, "dataset", "unknown_dataset"),
    "dataset not ready": ({"dataset": "svhn"}, "dataset", "dataset_not_ready"),
    "unknown baseline": ({"baselines": ["oak", "yew"]}, "baselines", "unknown_baseline"),
    "baseline named twice": ({"baselines": ["oak", "oak"]}, "baselines", "unknown_baseline"),
    "no baselines": ({"baselines": []}, "baselines", "invalid_request"),
    "no cycles": ({"cycles": 0}, "cycles", "invalid_request"),
    "too many cycles": ({"cycles": 101}, "cycles", "invalid_request"),
    "cycles as text": ({"cycles": "3"}, "cycles", "invalid_request"),
    "no candidates": ({"candidates_per_cycle": 0}, "candidates_per_cycle", "invalid_request"),
    "too many candidates": ({"candidates_per_cycle": 201}, "candidates_per_cycle", "invalid_request"),
    "negative epochs": ({"epochs": -1}, "epochs", "invalid_request"),
    "negative seed": ({"seed": -1}, "seed", "invalid_request"),
    "no elites": ({"elites": 0}, "elites", "invalid_request"),
    "replicates without a budget": ({"replicates": {"seeds": 2}}, "replicates.budget", "invalid_request"),
    "too many replicates": (
        {"replicates": {"seeds": 11, "budget": 8}},
        "replicates.seeds",
        "invalid_request",
    ),
    "an audit of nobody": (
        {"audit_sample": {"candidates": 0}},
        "audit_sample.candidates",
        "invalid_request",
    ),
    "no final seeds": ({"final_seeds": 0}, "final_seeds", "invalid_request"),
    "threshold above one": ({"novelty": {"threshold": 1.5}}, "novelty.threshold", "invalid_request"),
    "threshold NaN": ({"novelty": {"threshold": float("nan")}}, "novelty.threshold", "invalid_request"),
    "the threshold of before": ({"novelty_threshold": 0.9}, "novelty_threshold", "invalid_request"),
    "unknown scope": ({"novelty": {"scopes": ["world"]}}, "novelty.scopes.0", "invalid_request"),
    "scope named twice": ({"novelty": {"scopes": ["search"] * 2}}, "novelty.scopes", "invalid_request"),
    "no scope": ({"novelty": {"scopes": []}}, "novelty.scopes", "invalid_request"),
    "unknown policy": ({"novelty": {"policy": "ignore"}}, "novelty.policy", "invalid_request"),
    "no penalty": ({"novelty": {"penalty": 0}}, "novelty.penalty", "invalid_request"),
    "penalty above one": ({"novelty": {"penalty": 1.01}}, "novelty.penalty", "invalid_request"),
    "options NaN": ({"proposer": {"options": {"heat": float("inf")}}}, "proposer.options", "invalid_request"),
    "options too large": (
        {"proposer": {"options": {"a": "x" * 20_000}}},
        "proposer.options",
        "invalid_request",
    ),
    "control character in name": ({"name": "a\x1b[2Jb"}, "name", "invalid_request"),
    "name too long": ({"name": "x" * 121}, "name", "invalid_request"),
    "limit out of range": ({"limits": {"pids": 1}}, "limits.pids", "invalid_request"),
    "unknown field": ({"cycle": 3}, "cycle", "invalid_request"),
    "unknown region": ({"edits": {"only": ["Net", "forwrad"]}}, "edits.only.1", "unknown_region"),
    "unknown forbidden region": ({"edits": {"never": ["Net.learn"]}}, "edits.never.0", "unknown_region"),
    "region both ways": (
        {"edits": {"only": ["Net"], "never": ["Net"]}},
        "edits.only.0",
        "contradictory_edits",
    ),
    "everything forbidden": (
        {"edits": {"never": ["imports", "module", "Net"]}},
        "edits.never",
        "contradictory_edits",
    ),
    "region that is no name": ({"edits": {"only": ["a.b.c"]}}, "edits.only.0", "invalid_request"),
    "region with a line break": ({"edits": {"never": ["Net\n"]}}, "edits.never.0", "invalid_request"),
    "too many regions": ({"edits": {"only": ["Net"] * 33}}, "edits.only", "invalid_request"),
    "unknown permission": ({"edits": {"except": []}}, "edits.except", "invalid_request"),
    "an alarm at a share above one": (
        {"fine_tune": {"alarms": {"unique_share": 1.5}}},
        "fine_tune.alarms.unique_share",
        "invalid_request",
    ),
    "learning without a local model": (
        {"fine_tune": {}},
        "fine_tune",
        "proposer_not_tunable",
    ),
    "learning with a model that is not named": (
        {"fine_tune": {}, "proposer": {"kind": "local_llm"}},
        "fine_tune",
        "proposer_not_tunable",
    ),
    "adapter without a local model": ({"adapter": "ft_1"}, "adapter", "proposer_not_tunable"),
    "adapter that is not there": (
        {"adapter": "ft_1", "proposer": {"kind": "local_llm", "options": {"model": "tiny"}}},
        "adapter",
        "adapter_unknown",
    ),
    "learning from nothing recorded": (
        {
            "fine_tune": {"training_pairs": {"dataset": "digits"}},
            "proposer": {"kind": "local_llm", "options": {"model": "tiny"}},
        },
        "fine_tune.training_pairs.dataset",
        "no_recorded_networks",
    ),
    "learning never": ({"fine_tune": {"every": 0}}, "fine_tune.every", "invalid_request"),
    "replaying alone": ({"fine_tune": {"replay": 1.0}}, "fine_tune.replay", "invalid_request"),
    "window too wide": ({"feedback": {"window": 21}}, "feedback.window", "invalid_request"),
    "negative window": ({"feedback": {"window": -1}}, "feedback.window", "invalid_request"),
    "unknown feedback": ({"feedback": {"windows": 5}}, "feedback.windows", "invalid_request"),
    "operator that is no name": (
        {"deployment": {"forbidden_operators": ["Conv3d", "nn.Conv2d"]}},
        "deployment.forbidden_operators.1",
        "invalid_request",
    ),
    "no parameters": ({"deployment": {"max_parameters": 0}}, "deployment.max_parameters", "invalid_request"),
    "flops as a fraction": ({"deployment": {"max_flops": 1.5}}, "deployment.max_flops", "invalid_request"),
    "too many operators": (
        {"deployment": {"forbidden_operators": [f"op{n}" for n in range(65)]}},
        "deployment.forbidden_operators",
        "invalid_request",
    ),
    "budget of nothing": ({"model_budget": {"max_calls": 0}}, "model_budget.max_calls", "invalid_request"),
    "budget NaN": (
        {"model_budget": {"max_cost_usd": float("nan")}},
        "model_budget.max_cost_usd",
        "invalid_request",
    ),
    "negative tokens": ({"model_budget": {"max_tokens": -1}}, "model_budget.max_tokens", "invalid_request"),
    "options of an outside agent": (
        {"proposer": {"kind": "external", "options": {"temperature": 1}}},
        "proposer.options",
        "invalid_options",
    ),
    "device that no host has": ({"device": "cuda:0"}, "device", "device_unavailable"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_names_its_field_and_remedy_and_changes_nothing(scene, case):
    fields, field, code = BAD[case]
    body = json.dumps({**GOOD, **fields})
    answer = scene.http.post("/v1/searches", content=body, headers={"content-type": "application/json"})
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["remedy"] != "") == (code, True)
    assert problem["field"].startswith(field)
    assert scene.http.get("/v1/searches").json()["items"] == []


def test_an_unknown_baseline_is_answered_with_the_known_ones(scene):
    problem = scene.http.post("/v1/searches", json={**GOOD, "baselines": ["yew"]}).json()
    assert "oak, elm" in problem["remedy"]


def test_an_unknown_region_is_answered_with_those_that_the_baselines_have(scene):
    problem = scene.http.post("/v1/searches", json={**GOOD, "edits": {"never": ["train_setup"]}}).json()
    assert "imports, module, Net" in problem["remedy"]
    assert problem["value"] == "train_setup"


@pytest.mark.parametrize("limit", ["max_parameters", "max_flops"])
def test_costs_that_cannot_be_counted_are_not_limited_in_silence(scene, monkeypatch, limit):
    unknown = DatasetReport("digits", ready=True, classes=10)
    monkeypatch.setattr(scene.services.datasets, "require_ready", lambda *_args, **_more: unknown)
    answer = scene.http.post("/v1/searches", json={**GOOD, "deployment": {limit: 900}})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "costs_unknown")
    assert (problem["field"], problem["value"]) == (f"deployment.{limit}", 900)
    assert scene.http.post("/v1/searches", json=GOOD).status_code == 202


def test_a_budget_for_models_that_nobody_here_sees_is_refused(scene):
    asked = {**GOOD, "proposer": {"kind": "external"}, "model_budget": {"max_calls": 7}}
    answer = scene.http.post("/v1/searches", json=asked)
    problem = answer.json()
    assert (answer.status_code, problem["field"], problem["value"]) == (422, "model_budget.max_calls", 7)


def test_a_proposer_that_cannot_answer_now_is_told_before_anything_is_spent(scene, monkeypatch):
    def start_with(retryable, seconds):
        held_up = ProposerBlocked("model_unknown", "No such model.", "Add it.", retryable, seconds)
        monkeypatch.setattr(scene.generator, "propose", raising(ProposerHeldUp(held_up)))
        return scene.http.post("/v1/searches", json=GOOD)

    refused, later = start_with(False, None), start_with(True, 7.0)
    assert (refused.status_code, refused.json()["code"]) == (422, "model_unknown")
    assert refused.json()["remedy"] == "Add it."
    assert (later.status_code, later.headers["retry-after"]) == (503, "7")
    assert scene.http.get("/v1/searches").json()["items"] == []


def test_a_proposer_that_the_generator_refuses_is_refused_before_anything_is_spent(scene, monkeypatch):
    def refuse(asked):
        assert asked.slots == ()
        document = {
            "code": "unknown_proposer",
            "detail": "No such proposer.",
            "field": "proposer",
            "value": "oracle",
        }
        raise ServiceRefused("generator", 422, document)

    monkeypatch.setattr(scene.generator, "propose", refuse)
    answer = scene.http.post("/v1/searches", json={**GOOD, "proposer": {"kind": "oracle"}})
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == ("unknown_proposer", "proposer.kind")
    assert "external" in answer.json()["remedy"]
    assert scene.http.get("/v1/searches").json()["items"] == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("options.heat", "proposer.options.heat"), ("deployment.max_flops", "deployment.max_flops")],
)
def test_an_option_that_the_generator_refuses_is_named_as_the_search_calls_it(
    scene, monkeypatch, theirs, ours
):
    document = {"code": "invalid_request", "detail": "No.", "field": theirs, "remedy": "Mend it."}
    monkeypatch.setattr(scene.generator, "propose", raising(ServiceRefused("generator", 422, document)))
    problem = scene.http.post("/v1/searches", json=GOOD).json()
    assert (problem["field"], problem["remedy"]) == (ours, "Mend it.")


def test_while_the_generator_is_away_nothing_is_accepted(scene):
    scene.generator.unreachable = True
    answer = scene.http.post("/v1/searches", json=GOOD)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    "path", ["", "/cycles", "/candidates", "/elites", "/events", "/report", "/diagnostics"]
)
def test_an_unknown_search_is_not_found(scene, path):
    answer = scene.http.get(f"/v1/searches/se_00{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "search_unknown")


def test_a_candidate_of_another_search_is_not_found(scene):
    one, other = start(scene), start(scene, seed=9)
    answer = scene.http.get(f"/v1/searches/{one['id']}/candidates/{other['id']}-c000-s000")
    assert (answer.status_code, answer.json()["code"]) == (404, "candidate_unknown")


def test_an_ended_search_cannot_be_cancelled(scene):
    search = finish(scene, start(scene))
    answer = scene.http.post(f"/v1/searches/{search['id']}:cancel")
    assert answer.status_code == 409
    assert get(scene, search)["state"] == "succeeded"
