import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from gateway_scene import SOURCE

from contracts.failures import Failure, FailureReason


def test_an_evaluation_goes_from_queued_through_running_to_its_measurement(scene):
    evaluation = scene.submit(tags=["demo"])
    assert (evaluation["state"], evaluation["queue_position"]) == ("queued", 1)
    assert evaluation["measurement"] is None
    assert evaluation["failure"] is None
    claimed = scene.agent.claim_next()
    assert claimed.spec.source == SOURCE
    assert scene.read(evaluation)["state"] == "running"
    assert scene.agent.keep(claimed, "train").json() == {"cancel": False}
    assert scene.read(evaluation)["attempts"][0]["phase"] == "train"
    assert scene.agent.report(claimed, 0.75).status_code == 204
    ended = scene.read(evaluation)
    assert ended["state"] == "succeeded"
    assert ended["measurement"]["accuracy"] == 0.75
    assert ended["isolation"]["tier"] == "namespaces"
    assert ended["provenance"]["dataset_hash"] == "hash-of-digits"
    assert ended["finished_at"].endswith("Z")


def test_what_waits_for_a_host_that_is_not_there_says_so_in_lists_too(scene):
    scene.agent.heartbeat()
    fit, unfit = scene.submit(), scene.submit(seed=1, minimum_tier="docker+runsc")
    assert fit["waiting_for"] is None
    assert unfit["waiting_for"]["code"] == "minimum_tier"
    assert unfit["waiting_for"]["remedy"]
    listed = {item["id"]: item["waiting_for"] for item in scene.http.get("/v1/evaluations").json()["items"]}
    assert listed == {fit["id"]: None, unfit["id"]: unfit["waiting_for"]}
    scene.agent.claim_next()
    assert scene.read(fit)["waiting_for"] is None
    assert scene.http.delete(f"/v1/evaluations/{unfit['id']}").status_code < 300
    assert scene.read(unfit)["waiting_for"] is None


def test_gpu_memory_is_asked_for_with_a_gpu(scene):
    body = {"source": SOURCE, "dataset": "digits", "minimum_gpu_memory_bytes": 2**34}
    refused = scene.http.post("/v1/evaluations", json=body)
    assert refused.status_code == 422
    assert refused.json()["field"] == "minimum_gpu_memory_bytes"
    assert "cuda" in refused.text
    scene.agent.heartbeat(devices=("cpu", "cuda", "cuda:0"))
    accepted = scene.http.post("/v1/evaluations", json=body | {"device": "cuda"})
    assert accepted.json()["request"]["minimum_gpu_memory_bytes"] == 2**34


def test_the_answer_to_a_submission_says_where_to_look_and_when(scene):
    answer = scene.http.post("/v1/evaluations", json={"source": SOURCE, "dataset": "digits"})
    assert answer.headers["location"] == f"/v1/evaluations/{answer.json()['id']}"
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-request-id"]


def test_seeds_make_one_attempt_each_and_a_mean_with_its_standard_error(scene):
    evaluation = scene.submit(seeds=[1, 2])
    for accuracy in (0.4, 0.6):
        scene.agent.report(scene.agent.claim_next(), accuracy)
    measurement = scene.read(evaluation)["measurement"]
    assert measurement["accuracy"] == pytest.approx(0.5)
    assert measurement["accuracy_standard_error"] == pytest.approx(0.1)


def test_one_failing_seed_ends_the_evaluation_and_withdraws_the_others(scene):
    evaluation = scene.submit(seeds=[1, 2])
    claimed = scene.agent.claim_next()
    scene.agent.report(claimed, failure=Failure(FailureReason.TRAIN_ERROR, "shapes differ"))
    ended = scene.read(evaluation)
    assert ended["state"] == "failed"
    assert ended["failure"]["reason"] == "train_error"
    assert ended["failure"]["remedy"]
    assert [attempt["state"] for attempt in ended["attempts"]] == ["reported", "cancelled"]
    assert scene.agent.next() is None


def test_an_identical_request_is_answered_from_the_record(scene):
    first = scene.submit()
    scene.agent.report(scene.agent.claim_next(), 0.7)
    again = scene.submit(tags=["other"], priority=5)
    assert again["state"] == "succeeded"
    assert again["measurement"]["accuracy"] == 0.7
    assert again["provenance"]["reused_from"] == first["id"]


@pytest.mark.parametrize(
    "change",
    [
        {"reuse": False},
        {"seed": 1},
        {"epochs": 2},
        {"threads": 2},
        {"limits": {"pids": 64}},
        {"integrity": "strict"},
    ],
)
def test_a_request_that_differs_is_measured_anew(scene, change):
    scene.submit()
    scene.agent.report(scene.agent.claim_next())
    assert scene.submit(**change)["state"] == "queued"


def test_a_record_made_in_another_environment_is_not_reused(scene):
    scene.submit()
    scene.agent.report(scene.agent.claim_next())
    scene.agent.heartbeat(environment_digest="f" * 64)
    assert scene.submit()["state"] == "queued"


def test_replayed_keys_are_the_same_and_other_candidates_get_others(scene):
    scene.submit(reuse=False)
    first = scene.agent.claim_next()
    scene.agent.report(first)
    scene.submit(reuse=False)
    second = scene.agent.claim_next()
    scene.agent.report(second)
    scene.submit(source=SOURCE + "# other\n")
    third = scene.agent.claim_next()
    assert (first.spec.shuffle_key, first.spec.split_key) == (second.spec.shuffle_key, second.spec.split_key)
    assert third.spec.shuffle_key != first.spec.shuffle_key
    # Whatever could carry what an earlier candidate has told meets another split.
    scene.agent.report(third)
    scene.submit(hyperparameters={"transform": "told"})
    fourth = scene.agent.claim_next()
    assert len({claimed.spec.split_key for claimed in (first, third, fourth)}) == 3


def test_a_baseline_alone_brings_its_source_and_its_hyperparameters(scene):
    scene.submit(source=None, baseline="oak", hyperparameters={"lr": 0.5})
    spec = scene.agent.claim_next().spec
    assert "'oak'" in spec.source
    assert spec.hyperparameters == {"lr": 0.5, "momentum": 0.9}


def test_a_delta_is_applied_to_its_baseline_before_anything_is_stored(scene):
    scene.submit(source=None, baseline="oak", delta="grow 7")
    assert "grown_by_7" in scene.agent.claim_next().spec.source


def test_waiting_ends_with_the_evaluation(scene):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(scene.read, evaluation, wait=20)
        scene.agent.report(claimed)
        assert waiting.result(timeout=10)["state"] == "succeeded"


def test_waiting_longer_than_allowed_is_refused(scene):
    evaluation = scene.submit()
    answer = scene.http.get(f"/v1/evaluations/{evaluation['id']}", params={"wait": 61})
    assert answer.status_code == 422
    assert answer.json()["field"] == "query.wait"


def test_cancelling_ends_once_and_tells_the_agent(scene):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    assert scene.http.delete(f"/v1/evaluations/{evaluation['id']}").json()["state"] == "cancelled"
    assert scene.agent.keep(claimed).json() == {"cancel": True}
    assert scene.agent.report(claimed).status_code == 409
    assert scene.read(evaluation)["state"] == "cancelled"
    assert scene.read(evaluation)["measurement"] is None


def test_cancelling_what_has_ended_changes_nothing(scene):
    evaluation = scene.submit()
    scene.agent.report(scene.agent.claim_next())
    assert scene.http.delete(f"/v1/evaluations/{evaluation['id']}").json()["state"] == "succeeded"


def test_events_tell_the_whole_story_and_resume_after_the_last_id(scene):
    evaluation = scene.submit()
    scene.agent.report(scene.agent.claim_next())
    url = f"/v1/evaluations/{evaluation['id']}/events"
    events = _events(scene.http.get(url).text)
    assert [event["event"] for event in events] == ["queued", "running", "finished"]
    assert json.loads(events[-1]["data"])["accuracy"] == 0.5
    resumed = _events(scene.http.get(url, headers={"last-event-id": events[0]["id"]}).text)
    assert [event["event"] for event in resumed] == ["running", "finished"]
    assert _events(scene.http.get(url, headers={"last-event-id": events[-1]["id"]}).text) == []


def test_logs_come_attempt_by_attempt(scene):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    scene.agent.report(claimed)
    items = scene.http.get(f"/v1/evaluations/{evaluation['id']}/logs").json()["items"]
    assert items == [{"attempt_id": claimed.spec.attempt_id, "seed": 0, "log": "epoch 1\n"}]


def test_lists_are_paged_newest_first_and_filtered(scene):
    made = [scene.submit(seed=seed, tags=["even"] if seed % 2 == 0 else [])["id"] for seed in range(5)]
    first = scene.http.get("/v1/evaluations", params={"limit": 3}).json()
    rest = scene.http.get("/v1/evaluations", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    tagged = scene.http.get("/v1/evaluations", params={"tag": "even"}).json()["items"]
    assert [item["id"] for item in tagged] == made[::-2]
    assert scene.http.get("/v1/evaluations", params={"state": "failed"}).json()["items"] == []


def test_a_batch_answers_item_by_item(scene):
    good = {"source": SOURCE, "dataset": "digits"}
    answer = scene.http.post("/v1/evaluations:batch", json={"items": [good, {**good, "epochs": -1}, good]})
    items = answer.json()["items"]
    assert answer.status_code == 202
    assert [item["error"] is None for item in items] == [True, False, True]
    assert items[1]["error"]["field"] == "epochs"
    assert scene.stored() == 2


def test_a_batch_of_nothing_but_errors_is_not_accepted(scene):
    answer = scene.http.post("/v1/evaluations:batch", json={"items": [{"source": "x", "dataset": "digits"}]})
    assert answer.status_code == 422
    assert answer.json()["items"][0]["error"]["code"] == "contract_violation"


def test_an_idempotency_key_makes_one_evaluation_of_two_requests(scene):
    body, headers = {"source": SOURCE, "dataset": "digits"}, {"idempotency-key": "abc"}
    first = scene.http.post("/v1/evaluations", json=body, headers=headers)
    second = scene.http.post("/v1/evaluations", json=body, headers=headers)
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert scene.stored() == 1


def test_an_idempotency_key_with_another_body_is_refused(scene):
    headers = {"idempotency-key": "abc"}
    scene.submit(headers=headers)
    answer = scene.http.post(
        "/v1/evaluations", json={"source": SOURCE, "dataset": "digits", "epochs": 2}, headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_stored_answer_needs_no_other_service(scene):
    body = {"baseline": "oak", "dataset": "digits"}
    first = scene.http.post("/v1/evaluations", json=body, headers={"idempotency-key": "abc"})
    scene.generator.unreachable = True
    again = scene.http.post("/v1/evaluations", json=body, headers={"idempotency-key": "abc"})
    assert again.json() == first.json()


def test_concurrent_requests_with_one_key_make_one_evaluation(scene):
    start = Barrier(4)

    def submit(_):
        start.wait(5)
        return scene.submit(headers={"idempotency-key": "race"})["id"]

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(submit, range(4)))) == 1
    assert scene.stored() == 1


def test_a_full_queue_says_when_to_come_again(scene):
    scene.services.quotas.change("local", {"queued": 1})
    scene.submit()
    answer = scene.http.post("/v1/evaluations", json={"source": SOURCE, "dataset": "digits", "seed": 1})
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
    assert answer.headers["retry-after"]


def test_a_last_event_id_that_is_no_number_is_refused(scene):
    evaluation = scene.submit()
    answer = scene.http.get(f"/v1/evaluations/{evaluation['id']}/events", headers={"last-event-id": "x"})
    assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


def _events(text: str) -> list[dict]:
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if "event:" in block]
    return [dict(line.split(": ", 1) for line in block.strip().split("\n")) for block in blocks]
