"""Quotas hold in the accepting transaction; what is refused says what is used, and when to come again."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from fakes import FakeFarm, FakeFilter, FakeGenerator
from fine_tune_scene import FineTuneScene
from gateway_scene import SOURCE, gateway_in
from search_scene import AMPLE, accept, new_database, request

from contracts.names import SlotState
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.quotas import QuotaExceeded, QuotaName
from gateway.infra import tenant_storage
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.quotas import QuotaStore
from gateway.infra.rerun_journal import RerunJournal
from gateway.infra.tenant_storage import measure_storage
from gateway.loop.novelty_indexes import SharedIndexes
from gateway.loop.search_run import SearchRun

GOOD = {"source": SOURCE, "dataset": "digits"}


def limit(scene, **limits) -> None:
    answer = scene.http.patch("/v1/tenants/local", json=limits)
    assert answer.status_code == 200, answer.text


def refused(answer, status: int, code: str) -> dict:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert problem["field"]
    assert problem["value"]
    assert "deltanas quota" in problem["remedy"]
    assert ("retry-after" in answer.headers) is (status == 429)
    return problem


def test_what_is_used_and_allowed_is_to_be_seen(scene):
    limit(scene, queued=5, running=3, weight=2.5)
    scene.submit()
    scene.submit(seed=1)
    scene.agent.claim_next()
    found = scene.http.get("/v1/quota").json()
    assert found["tenant"] == "local"
    assert (found["weight"], found["queued"]) == (2.5, {"used": 2, "limit": 5})
    assert found["running"] == {"used": 1, "limit": 3}
    assert found["searches"] == {"used": 0, "limit": 100}
    assert found["gpu_seconds_per_day"]["limit"] is None
    assert found["storage_bytes"] == {"used": None, "limit": None}


def test_a_limit_that_is_taken_away_is_the_farms_again(scene):
    limit(scene, queued=1)
    limit(scene, queued=None)
    assert scene.http.get("/v1/quota").json()["queued"]["limit"] == 10_000


def test_a_full_queue_takes_no_more_and_no_part_of_a_batch(scene):
    limit(scene, queued=2)
    scene.submit()
    batch = {"items": [{**GOOD, "seed": 1}, {**GOOD, "seed": 2}]}
    problem = refused(scene.http.post("/v1/evaluations:batch", json=batch), 429, "queue_full")
    assert (problem["field"], problem["value"]) == ("queued", 3)
    assert scene.stored() == 1
    assert scene.http.post("/v1/evaluations", json={**GOOD, "seed": 1}).status_code == 202


def test_items_that_are_refused_anyway_take_no_room(scene):
    limit(scene, queued=1)
    batch = {"items": [GOOD, {"source": "x", "dataset": "nothing"}]}
    assert scene.http.post("/v1/evaluations:batch", json=batch).status_code == 202


def test_no_more_searches_than_allowed(scene):
    limit(scene, searches=1)
    body = {"dataset": "digits", "cycles": 1}
    assert scene.http.post("/v1/searches", json=body).status_code == 202
    refused(scene.http.post("/v1/searches", json=body), 429, "too_many_searches")


def test_a_spent_gpu_budget_refuses_gpu_evaluations_until_midnight(scene):
    limit(scene, gpu_seconds_per_day=0)
    scene.agent.heartbeat(devices=("cpu", "cuda:0"))
    answer = scene.http.post("/v1/evaluations", json={**GOOD, "device": "cuda:0"})
    refused(answer, 429, "gpu_seconds_spent")
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400
    assert scene.http.post("/v1/evaluations", json=GOOD).status_code == 202


def test_a_full_storage_takes_no_fine_tune(scene):
    farm = FineTuneScene(scene)
    limit(scene, storage_bytes=1)
    refused(farm.ask(), 403, "storage_full")
    limit(scene, storage_bytes=None)
    farm.start()


def test_a_refusal_says_what_attempts_in_flight_have_reserved(scene):
    limit(scene, gpu_seconds_per_day=100)
    scene.agent.heartbeat(devices=("cpu", "cuda:0"))
    on_gpu = {"device": "cuda:0", "limits": {"wall_seconds": 500}}
    scene.submit(**on_gpu)
    claimed = scene.agent.claim_next()
    assert scene.http.post("/v1/evaluations", json={**GOOD, "seed": 1, **on_gpu}).status_code == 202
    assert scene.agent.next() is None
    limit(scene, gpu_seconds_per_day=0)
    answer = scene.http.post("/v1/evaluations", json={**GOOD, "seed": 2, **on_gpu})
    refused(answer, 429, "gpu_seconds_spent")
    reserved = re.search(r"in flight may use (\d+) more", answer.json()["detail"])
    assert 400 <= int(reserved[1]) <= 500
    scene.agent.report(claimed)


def test_a_full_storage_is_refused_and_counts_what_came_since_it_was_measured(scene):
    limit(scene, storage_bytes=2 * len(SOURCE) + 10)
    for seed in range(2):
        scene.submit(seed=seed)
        measure_storage(scene.services.database)
    refused(scene.http.post("/v1/evaluations", json={**GOOD, "seed": 2}), 403, "storage_full")
    found = scene.http.get("/v1/quota").json()["storage_bytes"]
    assert found == {"used": 2 * len(SOURCE), "limit": 2 * len(SOURCE) + 10}


def test_whom_only_the_farms_limit_binds_is_measured_once_and_not_at_every_request(tmp_path, monkeypatch):
    measured, measure = [], tenant_storage._measured

    def counted(session, tenant):
        measured.append(tenant)
        return measure(session, tenant)

    monkeypatch.setattr(tenant_storage, "_measured", counted)
    with gateway_in(tmp_path, storage_bytes=2 * len(SOURCE) + 10) as scene:
        scene.agent.heartbeat()
        for seed in range(2):
            scene.submit(seed=seed)
            assert scene.http.get("/v1/quota").json()["storage_bytes"]["used"] == (seed + 1) * len(SOURCE)
        refused(scene.http.post("/v1/evaluations", json={**GOOD, "seed": 2}), 403, "storage_full")
        assert measured == ["local"]


@pytest.mark.parametrize(
    "body", [{"queued": -1}, {"weight": 0}, {"weight": float("inf")}, {"colour": 1}, {"searches": 1.5}]
)
def test_limits_that_make_no_sense_are_refused(scene, body):
    answer = scene.http.patch(
        "/v1/tenants/local", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422


def test_of_many_at_once_no_more_are_accepted_than_fit(database_url):
    database = Database(database_url)
    quotas, evaluations = QuotaStore(database, replace(AMPLE, queued=3)), EvaluationStore(database)
    start = Barrier(8)

    def submit(seed: int) -> bool:
        start.wait(10)
        try:
            with database.write() as session:
                quotas.require_evaluations(session, "ann", wanted=1, gpu=0, stored=1)
                wanted = EvaluationRequest(source=SOURCE, dataset="digits", seeds=(seed,))
                evaluations.submit(session, wanted, tenant="ann")
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(submit, range(8)))
    assert accepted == 3
    assert evaluations.count_open("ann") == 3
    database.close()


def test_a_search_whose_tenant_is_full_after_a_batch_asks_for_no_other(tmp_path):
    database, generator = new_database(tmp_path), FakeGenerator()
    search_id = accept(database, request(cycles=1, candidates_per_cycle=20))

    def require_not_full(tenant):
        if generator.batches:
            raise QuotaExceeded(QuotaName.STORAGE_BYTES, 9, 1, 9, None)

    evaluations = EvaluationStore(database)
    journal = RerunJournal(database, evaluations, search_id, require_not_full=require_not_full)
    novelty, farm = FakeFilter(), FakeFarm(database)
    run = SearchRun(journal, generator, novelty, SharedIndexes(database, list, novelty))
    run.advance()
    farm.work()
    with pytest.raises(QuotaExceeded):
        run.advance()
    assert len(generator.batches) == 1
    proposed = [slot for slot in journal.slots(1) if slot.state is not SlotState.PENDING]
    assert len(proposed) == len(generator.batches[0]), "what was proposed is kept"
    database.close()


def test_a_search_waits_for_room_in_its_tenants_queue_and_fails_no_slot(tmp_path):
    database = new_database(tmp_path)
    quotas, farm = QuotaStore(database, replace(AMPLE, queued=2)), FakeFarm(database)
    search_id = accept(database, request(cycles=1, candidates_per_cycle=6))
    journal = RerunJournal(database, EvaluationStore(database), search_id, quotas.has_room)
    novelty = FakeFilter()
    run = SearchRun(journal, FakeGenerator(), novelty, SharedIndexes(database, list, novelty))
    waits = set()
    for _ in range(40):
        if run.advance():
            break
        assert sum(slot.state is SlotState.EVALUATING for slot in journal.slots()) <= 2
        waits.add(run.waits_for)
        farm.work()
    else:
        pytest.fail("the search never ended")
    assert any("queue" in reason for reason in waits if reason)
    assert {slot.state for slot in journal.slots(0)} == {SlotState.JUDGED}
    assert SlotState.LOST not in {slot.state for slot in journal.slots()}
    database.close()
