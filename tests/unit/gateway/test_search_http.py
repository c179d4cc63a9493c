"""Searches as callers see them: what is accepted, what is refused, and how they are followed."""

import json
import time
from collections import Counter

import pytest
from fakes import FakeFarm
from fine_tune_scene import FineTuneScene
from search_scene import Scene as LoopScene

from contracts.jobs import DatasetReport
from contracts.proposals import DataShape, DeploymentLimits, EditPermissions, ProposerBlocked
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused

GOOD = {"dataset": "digits", "cycles": 1, "candidates_per_cycle": 3, "final_seeds": 2, "seed": 3}

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
    "no final seeds": ({"final_seeds": 0}, "final_seeds", "invalid_request"),
    "threshold above one": ({"novelty_threshold": 1.5}, "novelty_threshold", "invalid_request"),
    "threshold NaN": ({"novelty_threshold": float("nan")}, "novelty_threshold", "invalid_request"),
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


def start(scene, **fields) -> dict:
    answer = scene.http.post("/v1/searches", json={**GOOD, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()


def get(scene, search: dict, what: str = "", **query) -> dict:
    answer = scene.http.get(f"/v1/searches/{search['id']}{what}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def finish(scene, search: dict) -> dict:
    """What conductor and agents do, in this thread."""
    services = scene.services
    loop = LoopScene(services.database, search["id"], scene.generator, scene.filter)
    run = loop.run()
    while not run.advance():
        assert FakeFarm(services.database).work() > 0
    return get(scene, search)


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


def test_a_search_that_learns_says_how_and_starts_with_the_adapter_that_is_named(scene):
    scene.fine_tuner.forget()
    tuning = FineTuneScene(scene)
    adapter = tuning.finish()
    scene.generator.asked.clear()
    tunable = {"kind": "local_llm", "options": {"model": "tiny"}}
    plan = {"every": 2, "rank": 8, "replay": 0.25}
    answer = scene.http.post(
        "/v1/searches", json={**GOOD, "proposer": tunable, "fine_tune": plan, "adapter": adapter}
    )
    assert answer.status_code == 202, answer.text
    request = answer.json()["request"]
    assert request["adapter"] == adapter
    assert request["fine_tune"] == {
        "every": 2, "settings": {"preset": "cpu", "rank": 8}, "replay": 0.25, "deltas": "improvements",
        "training_pairs": None,
    }  # fmt: skip
    assert [asked.adapter for asked in scene.generator.asked] == [adapter]
    refused = scene.http.delete(f"/v1/adapters/{adapter}")
    assert (refused.status_code, refused.json()["code"]) == (409, "adapter_in_use")
    assert answer.json()["id"] in refused.json()["detail"]


def test_an_unknown_baseline_is_answered_with_the_known_ones(scene):
    problem = scene.http.post("/v1/searches", json={**GOOD, "baselines": ["yew"]}).json()
    assert "oak, elm" in problem["remedy"]


def test_an_unknown_region_is_answered_with_those_that_the_baselines_have(scene):
    problem = scene.http.post("/v1/searches", json={**GOOD, "edits": {"never": ["train_setup"]}}).json()
    assert "imports, module, Net" in problem["remedy"]
    assert problem["value"] == "train_setup"


def test_edit_permissions_are_stored_and_sent_with_every_proposal_and_delta(scene):
    search = finish(scene, start(scene, edits={"only": ["Net", "module"], "never": ["imports"]}))
    assert search["request"]["edits"] == {"only": ["Net", "module"], "never": ["imports"]}
    assert get(scene, search)["request"]["edits"] == search["request"]["edits"]
    assert EditPermissions(("Net", "module"), ("imports",)) in scene.generator.permissions


def test_feedback_deployment_and_budget_are_stored_shown_and_sent(scene):
    asked = {
        "feedback": {"window": 5},
        "deployment": {
            "forbidden_operators": ["Conv3d", "Conv3d"],
            "max_parameters": 10**6,
            "max_flops": None,
        },
        "model_budget": {"max_tokens": 9000, "max_cost_usd": 0.5, "max_calls": None},
    }
    search = finish(scene, start(scene, **asked))
    asked["deployment"]["forbidden_operators"] = ["Conv3d"]
    assert {name: search["request"][name] for name in asked} == asked
    assert DeploymentLimits(("Conv3d",), 10**6, None) in scene.generator.deployments


def test_costs_on_data_of_ones_own_are_counted_for_its_images(scene):
    search = finish(scene, start(scene, deployment={"max_parameters": 10**6}))
    assert scene.generator.data_shapes - {None} == {DataShape(1, 8, 8, 10)}
    assert "data_shape" not in search["request"]


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


def raising(error):
    def ask(_asked):
        raise error

    return ask


def test_a_search_of_an_outside_agent_is_accepted_without_asking_the_generator(scene, monkeypatch):
    monkeypatch.setattr(scene.generator, "propose", raising(AssertionError))
    search = start(scene, proposer={"kind": "external"})
    assert search["request"]["proposer"] == {"kind": "external", "options": {}}


def test_a_candidate_shows_the_calls_behind_it(scene, monkeypatch):
    monkeypatch.setattr(scene.generator, "calls_per_proposal", 2)
    search = finish(scene, start(scene))
    first = get(scene, search, "/candidates", cycle=1)["items"][0]
    candidate = get(scene, search, f"/candidates/{first['proposal_id']}")
    assert [call["role"] for call in candidate["calls"]] == ["proposal", "repair"]
    assert candidate["calls"][0]["messages"][0] == {"role": "system", "content": "be brief"}
    assert candidate["form"] == "delta"
    assert search["model"]["calls"] == 2 * 3
    assert get(scene, search, "/cycles")["items"][1]["model"]["calls"] == 2 * 3
    report = scene.http.get(f"/v1/searches/{search['id']}/report").text
    assert "What the models took" in report
    assert "$0.0600" in report


def test_what_became_of_the_deltas_can_be_read(scene):
    search = start(scene, candidates_per_cycle=12)
    nothing = get(scene, search, "/diagnostics")
    assert nothing == {
        "search_id": search["id"], "proposals": [], "delta_failures": [], "hunks": [], "repairs": [],
    }  # fmt: skip
    finish(scene, search)
    found = get(scene, search, "/diagnostics")
    candidates = get(scene, search, "/candidates", cycle=1)["items"]
    refused = Counter(c["failure"]["code"] for c in candidates if c["state"] == "refused")
    assert refused
    assert {record["code"]: record["count"] for record in found["delta_failures"]} == refused
    (proposals,) = found["proposals"]
    assert (proposals["cycle"], proposals["proposer"], proposals["answered"]) == (1, "mutation", 12)
    assert proposals["applied"] == 12 - refused.total()
    assert get(scene, search, "/cycles")["items"][1]["delta_failures"] == refused
    assert "How the deltas were read" in scene.http.get(f"/v1/searches/{search['id']}/report").text


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


def test_an_accepted_search_is_stored_with_its_defaults_and_baselines(scene):
    answer = scene.http.post("/v1/searches", json={"dataset": "digits"})
    search = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/searches/{search['id']}"
    assert search["state"] == "queued"
    assert search["request"]["baselines"] == ["oak", "elm"]
    assert search["progress"]["slots_total"] == 2 + 3 * 8
    assert get(scene, search) == search


def test_while_the_generator_is_away_nothing_is_accepted(scene):
    scene.generator.unreachable = True
    answer = scene.http.post("/v1/searches", json=GOOD)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


def test_one_idempotency_key_starts_one_search(scene):
    headers = {"idempotency-key": "once"}
    first = scene.http.post("/v1/searches", json=GOOD, headers=headers)
    second = scene.http.post("/v1/searches", json=GOOD, headers=headers)
    assert first.json() == second.json()
    assert len(scene.http.get("/v1/searches").json()["items"]) == 1
    other = scene.http.post("/v1/searches", json={**GOOD, "seed": 4}, headers=headers)
    assert other.status_code == 422


def test_a_whole_search_can_be_read(scene):
    search = finish(scene, start(scene))
    assert search["state"] == "succeeded"
    cycles = get(scene, search, "/cycles")["items"]
    assert [(cycle["cycle"], cycle["state"]) for cycle in cycles] == [(0, "finished"), (1, "finished")]
    candidates = get(scene, search, "/candidates")["items"]
    assert [(c["cycle"], c["slot"]) for c in candidates] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    elites = get(scene, search, "/elites")["items"]
    assert elites
    assert all(elite["elite"] for elite in elites)
    accuracies = [elite["accuracy"] for elite in elites]
    assert accuracies == sorted(accuracies, reverse=True)
    assert search["best"]["proposal_id"] == elites[0]["proposal_id"]


def test_candidates_come_in_pages_and_by_cycle_and_state(scene):
    search = finish(scene, start(scene))
    pages, cursor = [], None
    while True:
        page = get(scene, search, "/candidates", limit=2, **({"cursor": cursor} if cursor else {}))
        pages.append([c["slot"] for c in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [[0, 1], [0, 1], [2]]
    assert {c["cycle"] for c in get(scene, search, "/candidates", cycle=1)["items"]} == {1}
    judged = get(scene, search, "/candidates", state="judged")["items"]
    assert {c["state"] for c in judged} == {"judged"}


def test_a_candidate_shows_its_source_and_the_raw_proposal(scene):
    search = finish(scene, start(scene))
    wanted = next(c for c in get(scene, search, "/candidates", cycle=1)["items"] if c["state"] == "judged")
    candidate = get(scene, search, f"/candidates/{wanted['proposal_id']}")
    assert candidate["raw_proposal"].startswith("grow")
    assert "class Net" in candidate["source"]
    assert wanted.items() <= candidate.items()


def test_searches_are_listed_newest_first_in_pages(scene):
    ids = [start(scene, seed=seed)["id"] for seed in range(3)]
    first = scene.http.get("/v1/searches", params={"limit": 2}).json()
    second = scene.http.get("/v1/searches", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [s["id"] for s in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None


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


def test_pause_resume_and_cancel_answer_with_the_state(scene):
    search = start(scene)

    def post(verb):
        return scene.http.post(f"/v1/searches/{search['id']}:{verb}")

    assert post("pause").json()["state"] == "paused"
    assert post("pause").json()["state"] == "paused"
    assert post("resume").json()["state"] == "queued"
    assert post("resume").json()["state"] == "queued"
    assert post("cancel").json()["state"] == "cancelled"
    assert post("cancel").json()["state"] == "cancelled"
    for verb in ("pause", "resume"):
        refused = post(verb)
        assert (refused.status_code, refused.json()["code"]) == (409, "search_has_ended")


def test_an_ended_search_cannot_be_cancelled(scene):
    search = finish(scene, start(scene))
    answer = scene.http.post(f"/v1/searches/{search['id']}:cancel")
    assert answer.status_code == 409
    assert get(scene, search)["state"] == "succeeded"


def test_events_tell_the_story_in_order_and_go_on_after_the_last_one_seen(scene):
    search = finish(scene, start(scene))
    url = f"/v1/searches/{search['id']}/events"
    told = parse(scene.http.get(url).text)
    kinds = [kind for _, kind, _ in told]
    assert kinds[:2] == ["state", "cycle_started"]
    assert kinds[-1] == "finished"
    assert kinds.count("cycle_finished") == 2
    assert [number for number, _, _ in told] == sorted(number for number, _, _ in told)
    closed = [data for _, kind, data in told if kind == "cycle_finished"]
    assert all(data["state"] == "finished" and data["best_accuracy"] > 0 for data in closed)
    assert all(data["audit_accuracy"] is None for _, kind, data in told if kind == "slot")
    middle = told[len(told) // 2][0]
    rest = parse(scene.http.get(url, headers={"last-event-id": str(middle)}).text)
    assert rest == [event for event in told if event[0] > middle]


def parse(stream: str) -> list[tuple[int, str, dict]]:
    events = []
    for block in stream.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "id" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def test_waiting_for_a_search_ends_when_it_ends(scene):
    search = start(scene)
    began = time.monotonic()
    assert get(scene, search, wait=0.2)["state"] == "queued"
    assert time.monotonic() - began >= 0.2
    finish(scene, search)
    assert get(scene, search, wait=30)["state"] == "succeeded"


def test_the_report_is_a_page_that_may_run_and_load_nothing(scene):
    search = finish(scene, start(scene, name="<script>alert(1)</script>"))
    answer = scene.http.get(f"/v1/searches/{search['id']}/report")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text


def test_the_report_of_a_search_that_has_not_begun_can_be_read(scene):
    assert scene.http.get(f"/v1/searches/{start(scene)['id']}/report").status_code == 200


def test_the_sealed_half_is_hidden_in_the_evaluations_of_a_search(scene):
    search = finish(scene, start(scene))
    judged = get(scene, search, "/candidates", state="judged")["items"]
    for candidate in judged:
        evaluation = scene.http.get(f"/v1/evaluations/{candidate['evaluation_id']}").json()
        assert evaluation["measurement"]["audit_accuracy"] is None
