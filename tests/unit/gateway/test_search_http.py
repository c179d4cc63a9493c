"""Searches as callers start and change them, and what is stored of that."""

from fine_tune_scene import FineTuneScene
from search_over_http import GOOD, finish, get, raising, start

from contracts.proposals import DataShape, DeploymentLimits, EditPermissions


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
        "training_pairs": None, "alarms": None,
    }  # fmt: skip
    assert [asked.adapter for asked in scene.generator.asked] == [adapter]
    refused = scene.http.delete(f"/v1/adapters/{adapter}")
    assert (refused.status_code, refused.json()["code"]) == (409, "adapter_in_use")
    assert answer.json()["id"] in refused.json()["detail"]


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


def test_a_search_of_an_outside_agent_is_accepted_without_asking_the_generator(scene, monkeypatch):
    monkeypatch.setattr(scene.generator, "propose", raising(AssertionError))
    search = start(scene, proposer={"kind": "external"})
    assert search["request"]["proposer"] == {"kind": "external", "options": {}}


def test_an_accepted_search_is_stored_with_its_defaults_and_baselines(scene):
    answer = scene.http.post("/v1/searches", json={"dataset": "digits"})
    search = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/searches/{search['id']}"
    assert search["state"] == "queued"
    assert search["request"]["baselines"] == ["oak", "elm"]
    assert search["progress"]["slots_total"] == 2 + 3 * 8
    assert get(scene, search) == search


def test_one_idempotency_key_starts_one_search(scene):
    headers = {"idempotency-key": "once"}
    first = scene.http.post("/v1/searches", json=GOOD, headers=headers)
    second = scene.http.post("/v1/searches", json=GOOD, headers=headers)
    assert first.json() == second.json()
    assert len(scene.http.get("/v1/searches").json()["items"]) == 1
    other = scene.http.post("/v1/searches", json={**GOOD, "seed": 4}, headers=headers)
    assert other.status_code == 422


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
