"""What /metrics says, to whom, and that nobody's words become its labels."""

from datetime import timedelta

import pytest
from fakes import FakeTrainingAgent
from fine_tune_scene import FineTuneScene
from gateway_scene import TOKEN, gateway_in
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, update

from contracts.failures import Failure, FailureReason
from contracts.service_gate import token_digest
from gateway.infra import tallies
from gateway.infra.database import utc_now
from gateway.infra.tables import EvaluationRow


def samples(http, **headers):
    answer = http.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name.removeprefix("deltanas_"), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found, name, **labels):
    return found[(name, *sorted(labels.items()))]


POOL = {"kind": "evaluate", "device": "cpu"}


def finish(scene, reason=None):
    evaluation = scene.submit(reuse=False)
    claimed = scene.agent.claim_next()
    scene.agent.report(claimed, failure=reason and Failure(reason, "no"))
    return evaluation


def test_the_queue_and_the_pool_are_told(scene):
    scene.submit(reuse=False)
    scene.submit(reuse=False, seed=1)
    scene.agent.claim_next()
    found = samples(scene.http)
    assert value(found, "queue_attempts", **POOL) == 1
    assert value(found, "attempts_leased", **POOL) == 1
    assert value(found, "queue_oldest_seconds", **POOL) >= 0
    assert value(found, "agent_slots", agent="agent-1") == 2
    assert value(found, "agents") == value(found, "database_up") == 1


def test_the_gpus_in_use_and_the_warm_pool_of_each_host_are_told(scene):
    scene.agent.heartbeat(devices=("cpu", "cuda", "cuda:0", "cuda:1"), lent_gpus=1, warm_sandboxes=3)
    found = samples(scene.http)
    assert value(found, "agent_gpus", agent="agent-1") == 2
    assert value(found, "agent_lent_gpus", agent="agent-1") == 1
    assert value(found, "agent_warm_sandboxes", agent="agent-1") == 3


def test_an_attempt_that_takes_several_slots_leaves_so_many_fewer_free(scene):
    scene.agent.heartbeat(slots=5, threads_per_slot=2)
    assert value(samples(scene.http), "agent_free_slots", agent="agent-1") == 5
    scene.submit(threads=6)
    scene.agent.claim_next()
    assert value(samples(scene.http), "agent_free_slots", agent="agent-1") == 2
    scene.agent.heartbeat(slots=0)
    assert value(samples(scene.http), "agent_free_slots", agent="agent-1") == 0


def test_fine_tunes_that_wait_for_a_host_are_told_and_then_who_trains(scene):
    farm = FineTuneScene(scene, lends=True)
    farm.start()
    farm.hand_in()
    found = samples(scene.http)
    assert value(found, "fine_tune_attempts", state="queued") == 1
    assert value(found, "fine_tune_attempts", state="leased") == value(found, "training_hosts") == 0
    assert value(found, "fine_tune_oldest_seconds") > 0
    FakeTrainingAgent(scene.http, TOKEN).claim_next()
    found = samples(scene.http)
    assert value(found, "fine_tune_attempts", state="queued") == value(found, "fine_tune_oldest_seconds") == 0
    assert value(found, "fine_tune_attempts", state="leased") == value(found, "training_hosts") == 1


def test_evaluations_are_counted_by_state_and_reason_and_a_restart_loses_none(tmp_path):
    ended = {**POOL, "state": "failed", "reason": "train_error"}
    good = {**POOL, "state": "succeeded", "reason": "none"}
    with gateway_in(tmp_path) as scene:
        scene.agent.heartbeat()
        finish(scene)
        finish(scene, FailureReason.TRAIN_ERROR)
        found = samples(scene.http)
        assert value(found, "evaluations_finished_total", **good) == 1
        assert tallies.fold(scene.services.database) == 2
        assert tallies.fold(scene.services.database) == 0
        assert samples(scene.http).items() >= {k: v for k, v in found.items() if "finished" in k[0]}.items()
        with scene.services.database.write() as session:
            session.execute(EvaluationRow.__table__.delete())
    with gateway_in(tmp_path) as scene:
        found = samples(scene.http)
        assert value(found, "evaluations_finished_total", **ended) == 1
        assert value(found, "evaluation_run_seconds_count", **POOL) == 2
        assert value(found, "evaluation_run_seconds_bucket", le="+Inf", **POOL) == 2


def test_what_ended_is_counted_once_however_small_the_steps(scene, monkeypatch):
    monkeypatch.setattr(tallies, "BATCH", 1)
    for _ in range(3):
        finish(scene)
    steps = 0
    while tallies.fold(scene.services.database):
        steps += 1
        with scene.services.database.read() as session:
            assert tallies.totals(session)[tallies.FINISHED, ("evaluate", "cpu", "succeeded", "none")] == 3
    assert steps == 3


def test_what_ends_after_the_clock_was_set_back_is_counted(scene):
    finish(scene)
    with scene.services.database.write() as session:
        session.execute(update(EvaluationRow).values(finished_at=utc_now() + timedelta(days=2)))
    assert tallies.fold(scene.services.database) == 1
    finish(scene)
    assert tallies.fold(scene.services.database) == 1
    found = samples(scene.http)
    assert value(found, "evaluations_finished_total", **POOL, state="succeeded", reason="none") == 2


def test_no_word_of_a_caller_is_a_label(scene):
    hostile = "/v1/evaluations/%22%7D%1B[2J" + "x" * 500
    for _ in range(3):
        scene.http.request("HACK", hostile)
        scene.http.get(f"/v1/evaluations/{'y' * 60}")
    page = scene.http.get("/metrics").text
    assert "HACK" not in page
    assert "xxx" not in page
    assert "yyy" not in page
    assert 'route="/v1/evaluations/{evaluation_id}"' in page
    assert 'route="none"' in page or 'method="other"' in page


def test_a_tenant_is_a_label_only_where_the_operator_wants_it(scene, tmp_path):
    scene.submit()
    assert "tenant=" not in scene.http.get("/metrics").text
    with gateway_in(tmp_path, metrics_tenants=True) as telling:
        telling.agent.heartbeat()
        telling.submit()
        assert value(samples(telling.http), "tenant_queue_attempts", tenant="local") == 1


def test_transactions_and_requests_are_timed(scene):
    scene.submit()
    found = samples(scene.http)
    assert value(found, "database_transaction_seconds_count", kind="write") >= 1
    asked = {"route": "/v1/evaluations", "method": "POST", "status": "2xx"}
    assert value(found, "http_requests_total", **asked) >= 1
    assert value(found, "http_request_seconds_count", **asked) >= 1


def test_a_page_is_given_again_for_a_moment(scene, monkeypatch):
    measured = scene.http.app.state.metrics
    monkeypatch.setattr(measured, "page_seconds", 60.0)
    asked = []
    event.listen(scene.services.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    scene.http.get("/metrics")
    first = len(asked)
    scene.http.get("/metrics")
    assert first > 0
    assert len(asked) == first
    measured._page_until = 0.0


def test_beyond_loopback_metrics_need_their_token(tmp_path):
    with gateway_in(tmp_path) as scene:
        scene.services.keys.create("blue")
    with gateway_in(tmp_path, require_keys=True, metrics_token_sha256=token_digest("m-token")) as scene:
        assert scene.http.get("/metrics").status_code == 401
        assert scene.http.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert samples(scene.http, authorization="Bearer m-token")
        assert (
            scene.http.get("/v1/evaluations", headers={"authorization": "Bearer m-token"}).status_code == 401
        )


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:7"])
def test_a_gpu_has_no_number_in_a_label(device):
    assert tallies.device_kind(device) == ("cpu" if device == "cpu" else "gpu")
