import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from threading import Barrier

import pytest
from fakes import FakeAgent, outcome
from gateway_scene import SOURCE, TOKEN, gateway_in

from contracts.failures import Failure, FailureReason
from contracts.jobs import BackendReport
from contracts.names import IsolationTier
from gateway.domain.evaluation import EvaluationRequest
from gateway.infra import evaluation_transitions
from gateway.infra.database import utc_now
from gateway.infra.journalled_keys import search_split_key
from gateway.infra.search_tables import SearchRow
from gateway.infra.tables import AttemptRow


def let_leases_expire(scene):
    with scene.services.database.write() as session:
        for attempt in session.query(AttemptRow).filter(AttemptRow.state == "leased"):
            attempt.lease_expires_at = utc_now() - timedelta(seconds=1)
    scene.services.queue.sweep()


@pytest.fixture
def no_retry_delay(monkeypatch):
    original = evaluation_transitions.enqueue_attempt
    monkeypatch.setattr(
        evaluation_transitions,
        "enqueue_attempt",
        lambda session, evaluation, seed, _delay=0.0: original(session, evaluation, seed),
    )


def test_an_attempt_is_claimed_by_one_agent_only(scene):
    scene.submit()
    attempt_id = scene.agent.next()
    others = [FakeAgent(scene.http, TOKEN, f"agent-{number}") for number in range(4)]
    start = Barrier(4)

    def claim(agent):
        start.wait(5)
        return agent.try_claim(attempt_id).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, others)) == [200, 409, 409, 409]


def test_an_offered_attempt_is_not_offered_again_at_once(scene):
    scene.submit()
    other = FakeAgent(scene.http, TOKEN, "agent-2")
    other.heartbeat()
    assert scene.agent.next() is not None
    assert other.next() is None


def test_an_agent_is_offered_no_more_than_its_slots(scene):
    for seed in range(3):
        scene.submit(seed=seed)
    scene.agent.claim_next()
    scene.agent.claim_next()
    assert scene.agent.next() is None


@pytest.mark.parametrize(
    "host",
    [
        {
            "tier": None,
            "backends": (BackendReport("namespaces", IsolationTier.NAMESPACES, False, ("no bwrap",)),),
        },
        {"datasets": ()},
        {"devices": ("cuda:0",)},
        {"slots": 0},
    ],
    ids=["no sandbox", "no data", "no such device", "no slot"],
)
def test_an_attempt_waits_for_a_host_that_can_run_it(scene, host):
    scene.submit()
    scene.agent.heartbeat(**host)
    assert scene.agent.next() is None


def test_an_attempt_waits_for_a_tier_strong_enough(scene):
    scene.submit(minimum_tier="docker+runsc")
    assert scene.agent.next() is None
    scene.agent.heartbeat(tier=IsolationTier.DOCKER_RUNSC)
    assert scene.agent.next() is not None


def test_an_agent_that_never_sent_a_heartbeat_gets_nothing(scene):
    scene.submit()
    assert FakeAgent(scene.http, TOKEN, "stranger").next() is None


def test_a_long_poll_ends_when_an_attempt_arrives(scene):
    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(scene.agent.next, 20)
        time.sleep(0.1)
        scene.submit()
        assert polling.result(timeout=5) is not None


def test_tenants_take_turns_however_much_one_has_queued(scene):
    scene.agent.heartbeat(slots=10)
    _submit_as(scene, "greedy", 4)
    _submit_as(scene, "modest", 2)
    order = [_tenant_of(scene, scene.agent.claim_next()) for _ in range(4)]
    assert sorted(order[:2]) == sorted(order[2:]) == ["greedy", "modest"]


def test_priority_comes_before_age_within_a_tenant(scene):
    scene.submit(seed=1)
    scene.submit(seed=2, priority=10)
    assert [scene.agent.claim_next().spec.seed for _ in range(2)] == [2, 1]


def test_an_attempt_lost_by_its_agent_is_tried_again_with_the_same_keys(scene, no_retry_delay):
    evaluation = scene.submit()
    first = scene.agent.claim_next()
    let_leases_expire(scene)
    assert scene.read(evaluation)["state"] == "queued"
    second = scene.agent.claim_next()
    assert second.spec.fence == first.spec.fence + 1
    assert second.spec.shuffle_key == first.spec.shuffle_key
    assert scene.agent.report(first).status_code == 409
    assert scene.agent.report(second, 0.6).status_code == 204
    ended = scene.read(evaluation)
    assert ended["measurement"]["accuracy"] == 0.6
    assert [attempt["state"] for attempt in ended["attempts"]] == ["lost", "reported"]


def test_a_lost_attempt_rests_before_it_is_tried_again(scene):
    scene.submit()
    scene.agent.claim_next()
    let_leases_expire(scene)
    assert scene.agent.next() is None


def test_three_lost_attempts_end_an_evaluation_as_the_platforms_fault(scene, no_retry_delay):
    evaluation = scene.submit()
    for _ in range(3):
        scene.agent.claim_next()
        let_leases_expire(scene)
    ended = scene.read(evaluation)
    assert (ended["state"], ended["failure"]["reason"]) == ("failed", "infrastructure")
    assert scene.agent.next() is None


def test_an_infrastructure_failure_is_retried_and_then_forgotten(scene, no_retry_delay):
    evaluation = scene.submit()
    broken = Failure(FailureReason.INFRASTRUCTURE, "the sandbox did not start")
    scene.agent.report(scene.agent.claim_next(), failure=broken)
    scene.agent.report(scene.agent.claim_next(), 0.8)
    ended = scene.read(evaluation)
    assert (ended["state"], ended["failure"]) == ("succeeded", None)


@pytest.mark.slow
def test_a_lease_lasts_as_long_as_it_is_renewed(tmp_path):
    with gateway_in(tmp_path, lease_seconds=0.5) as scene:
        scene.agent.heartbeat()
        evaluation = scene.submit()
        claimed = scene.agent.claim_next()
        assert claimed.lease_seconds == 0.5
        for _ in range(5):
            time.sleep(0.2)
            assert scene.agent.keep(claimed).status_code == 200
        assert scene.read(evaluation)["state"] == "running"
        # From here on nobody renews: the sweeper alone ends the lease.
        deadline = time.monotonic() + 10
        while scene.read(evaluation)["state"] == "running":
            assert time.monotonic() < deadline, "the lease never ended"
            time.sleep(0.05)
        assert scene.agent.keep(claimed).status_code == 409


def test_a_wrong_attempt_token_is_refused(scene):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    body = asdict(outcome(claimed.spec))
    stolen = type(claimed)(claimed.spec, "guessed", claimed.lease_seconds)
    assert scene.agent.send(stolen, body).status_code == 409
    assert scene.read(evaluation)["state"] == "running"


def test_a_report_with_another_fence_is_refused(scene):
    scene.submit()
    claimed = scene.agent.claim_next()
    body = asdict(outcome(claimed.spec)) | {"fence": claimed.spec.fence + 1}
    assert scene.agent.send(claimed, body).status_code == 409


def test_a_report_sent_twice_counts_once(scene):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    assert scene.agent.report(claimed, 0.5).status_code == 204
    assert scene.agent.report(claimed, 0.9).status_code == 204
    ended = scene.read(evaluation)
    assert ended["measurement"]["accuracy"] == 0.5
    assert len(ended["attempts"]) == 1


def test_of_cancellation_and_report_exactly_one_wins(scene):
    for round_ in range(5):
        evaluation = scene.submit(seed=round_)
        claimed = scene.agent.claim_next()
        start = Barrier(2)

        def cancel(start=start, evaluation=evaluation):
            start.wait(5)
            return scene.http.delete(f"/v1/evaluations/{evaluation['id']}").json()["state"]

        def report(start=start, claimed=claimed):
            start.wait(5)
            return scene.agent.report(claimed).status_code

        with ThreadPoolExecutor(2) as pool:
            cancelled, reported = pool.submit(cancel), pool.submit(report)
            state, status = cancelled.result(10), reported.result(10)
        assert (state, status) in {("cancelled", 409), ("succeeded", 204)}
        assert scene.read(evaluation)["state"] == state
        events = scene.http.get(f"/v1/evaluations/{evaluation['id']}/events").text
        assert events.count("event: finished") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy": 1.5},
        {"accuracy": float("nan")},
        {"accuracy": -0.1},
        {"cpu_seconds": float("inf")},
        {"evaluated_images": 0},
        {"scored_on": "selection_half"},
        {"audit_accuracy": 0.5},
    ],
)
def test_an_impossible_measurement_is_the_platforms_failure(scene, change):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    body = asdict(outcome(claimed.spec))
    body["measurement"] |= change
    answer = scene.agent.send(claimed, body)
    assert answer.status_code == 204
    attempt = scene.read(evaluation)["attempts"][0]
    assert attempt["measurement"] is None
    assert attempt["failure"]["reason"] == "infrastructure"


def test_senseless_claims_of_the_guest_are_dropped_and_the_score_stands(scene):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    body = asdict(outcome(claimed.spec))
    body["measurement"] |= {"claimed_train_loss": float("nan"), "claimed_parameters": -1}
    scene.agent.send(claimed, body)
    measurement = scene.read(evaluation)["measurement"]
    assert (measurement["claimed_train_loss"], measurement["claimed_parameters"]) == (None, None)


def test_a_clock_that_is_set_back_stalls_neither_queue_nor_leases(scene):
    waiting, running = (
        scene.submit(source=SOURCE + "# 1\n"),
        scene.submit(source=SOURCE + "# 2\n", priority=1),
    )
    claimed = scene.agent.claim_next()
    assert claimed.spec.evaluation_id == running["id"]
    an_hour = timedelta(hours=1)
    with scene.services.database.write() as session:
        for attempt in session.query(AttemptRow):
            attempt.available_at += an_hour
            if attempt.lease_expires_at is not None:
                attempt.lease_expires_at += an_hour
    assert scene.agent.next() is None
    assert scene.services.queue.sweep() == 0
    assert scene.agent.claim_next().spec.evaluation_id == waiting["id"]
    with scene.services.database.read() as session:
        lease = session.get(AttemptRow, claimed.spec.attempt_id).lease_expires_at
    assert lease < utc_now() + timedelta(minutes=1)
    assert scene.agent.report(claimed, 0.9).status_code == 204


def test_a_gateway_that_was_away_gives_every_lease_anew(tmp_path):
    with gateway_in(tmp_path) as scene:
        scene.agent.heartbeat()
        evaluation = scene.submit()
        claimed = scene.agent.claim_next()
        with scene.services.database.write() as session:
            session.query(AttemptRow).one().lease_expires_at = utc_now() - timedelta(seconds=60)
    with gateway_in(tmp_path) as scene:
        assert scene.agent.report(claimed, 0.9).status_code == 204
        assert scene.read(evaluation)["measurement"]["accuracy"] == 0.9


def test_the_sealed_half_stays_sealed_within_a_search(scene):
    services = scene.services
    with services.database.write() as session:
        evaluation_id = services.evaluations.submit(
            session,
            EvaluationRequest(source=SOURCE, dataset="digits"),
            search_id="se_1",
            split_key=search_split_key(session, "local", "digits", 0),
            origin_key="se_1:c001:s000:seed0",
        )
    claimed = scene.agent.claim_next()
    assert claimed.spec.scored_on == "selection_half"
    told = ["pids_limit_was_reached", "sealed_half_disagrees"]
    scene.agent.send(claimed, asdict(outcome(claimed.spec, 0.7)) | {"flags": told})
    public = scene.read({"id": evaluation_id})
    assert public["measurement"]["accuracy"] == 0.7
    assert public["measurement"]["audit_accuracy"] is None
    assert public["attempts"][0]["measurement"]["audit_accuracy"] is None
    assert services.evaluations.read(evaluation_id).measurement.audit_accuracy == 0.7
    # One bit about the sealed half for each candidate would be enough to climb on it: it waits for the end.
    assert public["flags"] == scene.http.get("/v1/evaluations").json()["items"][0]["flags"] == told[:1]
    with services.database.write() as session:
        ended = {"id": "se_1", "tenant": "local", "name": "", "state": "succeeded", "request": {}}
        session.add(SearchRow(**ended, split_key="k", created_at=utc_now()))
    assert scene.read({"id": evaluation_id})["flags"] == told


def test_capabilities_of_a_silent_agent_are_forgotten(scene, monkeypatch):
    monkeypatch.setattr("gateway.infra.agent_directory.ALIVE_FOR", timedelta(seconds=-1))
    assert scene.http.get("/v1/capabilities").json()["agents"] == []
    assert scene.http.get("/readyz").status_code == 503


def _submit_as(scene, tenant, count):
    services = scene.services
    for seed in range(count):
        with services.database.write() as session:
            request = EvaluationRequest(source=SOURCE, dataset="digits", seeds=(seed,))
            services.evaluations.submit(session, request, tenant=tenant)


def _tenant_of(scene, claimed):
    return scene.services.evaluations.read(claimed.spec.evaluation_id).tenant
