"""Long fine-tunes as attempts: claimed under a lease, told of, reported, lost, cancelled, given back."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from fakes import FakeBroker, FakeTrainingAgent, fine_tune_settings
from fine_tune_scene import FineTuneScene
from gateway_scene import TOKEN, gateway_in
from search_scene import with_a_finished_search

from contracts.dispatch import Resource
from contracts.fine_tune_attempts import TrainingNews
from contracts.fine_tuning import (
    FineTuneEvent,
    FineTuneFailure,
    FineTuneResult,
    FineTuneState,
    FineTuneStatus,
)
from gateway.infra.database import utc_now
from gateway.infra.events import read_events
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import fine_tune_topic
from gateway.loop.dispatching import Dispatch

SHARED = Resource.FINE_TUNE.value
AWAY = FineTuneFailure("disk_full", "The disk is full.", "Make room.", retryable=True)
HARD = FineTuneFailure("non_finite", "The loss became infinite.", "Choose a lower rate.", retryable=False)


class Farm(FineTuneScene):
    """A gateway that lends its fine-tunes, and agents whose hosts train them."""

    def agent(self, name="gpu-1", queue="", **models):
        return FakeTrainingAgent(self.gateway.http, TOKEN, name, queue, **models)

    def lend(self, **fields) -> str:
        job_id = self.start(**fields)
        self.hand_in()
        return job_id

    def let_leases_run_out(self):
        with self.gateway.services.database.write() as session:
            for row in session.query(FineTuneAttemptRow):
                row.promised_until = None
                if row.lease_expires_at is not None:
                    row.lease_expires_at -= timedelta(seconds=60)
        self.gateway.services.fine_tune_attempts.sweep()
        self.let_rests_go_by()

    def let_rests_go_by(self):
        with self.gateway.services.database.write() as session:
            for row in session.query(FineTuneAttemptRow):
                row.available_at -= timedelta(seconds=60)
            for job in session.query(FineTuneRow):
                if job.retry_at is not None:
                    job.retry_at -= timedelta(hours=1)

    def kinds(self, job_id):
        return [one["type"] for one in self.events(job_id)]

    def events(self, job_id):
        found = read_events(self.gateway.services.database, fine_tune_topic(job_id), 0)
        return [{"type": event.type, "data": event.data} for event in found]


@pytest.fixture
def farm(tmp_path):
    url, search_id = with_a_finished_search(tmp_path)
    with gateway_in(tmp_path, database_url=url) as gateway:
        made = Farm(gateway, lends=True)
        made.search_id = search_id
        yield made


def status(job_id, **fields):
    usual = {"state": FineTuneState.RUNNING, "phase": "training", "step": 1, "tokens_per_second": 9.0}
    settings = fine_tune_settings(model="tiny", parent_adapter=None, seed=0)
    return FineTuneStatus(job_id, settings=settings, content_sha256="c", data_sha256="d", created_at="now",
                          **{**usual, **fields})  # fmt: skip


def news(job_id, *steps, after=0, **fields):
    events = tuple(FineTuneEvent(step, "now", "step", {"step": step, "loss": 1 / step}) for step in steps)
    return TrainingNews(status(job_id, **fields), after, events)


def result(job_id, adopted=True):
    return FineTuneResult(job_id, adopted, "It fell.", job_id if adopted else None, 2, 1.0, 0.5)


def succeed(agent, claimed):
    assert agent.deliver(claimed).status_code == 204
    return agent.report(claimed, result=result(claimed.fine_tune_id))


def test_a_job_is_claimed_trained_elsewhere_and_its_adapter_is_there_to_propose_with(farm):
    job_id = farm.lend()
    agent = farm.agent()
    claimed = agent.claim_next()
    assert (claimed.fine_tune_id, claimed.fence, claimed.parent_adapter) == (job_id, 1, None)
    lines = agent.get(claimed, "chats").text.splitlines()
    assert len(lines) == len(farm.gateway.fine_tuner.bodies[job_id]) > 1
    assert agent.tell(claimed, news(job_id, 1)).json() == {"cancel": False, "events_seen": 1}
    read = farm.read(job_id)
    assert (read["state"], read["phase"], read["progress"]["step"]) == ("running", "training", 1)
    assert succeed(agent, claimed).status_code == 204
    assert farm.gateway.fine_tuner.delivered == [(job_id, 1, b"adapter")]
    ended = farm.read(job_id)
    assert (ended["state"], ended["result"]["use"]) == ("succeeded", job_id)
    assert farm.kinds(job_id) == ["state", "state", "chats", "claimed", "step", "finished"]
    assert agent.heartbeat(borrowed=(job_id,)) == [job_id]
    farm.follow()
    assert farm.gateway.fine_tuner.status(job_id) is None
    assert not farm.journal.unsettled(submitted=True)


def test_success_without_its_adapter_is_refused(farm):
    job_id = farm.lend()
    agent = farm.agent()
    claimed = agent.claim_next()
    refused = agent.report(claimed, result=result(job_id))
    assert (refused.status_code, refused.json()["code"]) == (409, "adapter_not_delivered")
    assert farm.read(job_id)["state"] == "running"


def test_an_agent_whose_claim_got_no_answer_repeats_it_and_a_restarted_one_does_not(farm):
    farm.lend()
    agent = farm.agent("one")
    agent.heartbeat()
    attempt_id = agent.next()
    first, again = (agent.try_claim(attempt_id, key="k" * 32) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert agent.try_claim(attempt_id, key="x" * 32).status_code == 409
    assert agent.try_claim(attempt_id).status_code == 409


def test_one_agent_has_a_job_and_nobody_without_its_token_gets_at_it(farm):
    job_id = farm.lend()
    one, other = farm.agent("one"), farm.agent("other")
    one.heartbeat(), other.heartbeat()
    attempt_id = one.next()
    assert other.next() is None
    claimed = one.claim(attempt_id)
    assert other.try_claim(attempt_id).status_code == 409
    thief = replace(claimed, token="guessed")
    for answer in (
        other.tell(thief, news(job_id, 1)), other.get(thief, "chats"), other.get(thief, "parent"),
        other.deliver(thief), other.report(thief, failure=HARD), other.release(thief),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["code"]) == (409, "lease_lost")
    assert not farm.gateway.fine_tuner.delivered
    assert farm.read(job_id)["state"] == "running"


def test_an_agent_gets_no_more_than_it_has_slots_for(farm):
    first, second = farm.lend(), farm.lend(seed=2)
    agent = farm.agent()
    claimed = agent.claim_next()
    assert claimed.fine_tune_id == first
    assert agent.next() is None
    succeed(agent, claimed)
    assert agent.claim_next().fine_tune_id == second


def test_a_host_without_the_model_or_with_other_weights_is_never_asked_and_the_job_says_so(farm):
    farm.gateway.fine_tuner.weights = {"tiny": "aa"}
    job_id = farm.lend()
    farm.follow()
    assert "no agent that trains is there" in farm.read(job_id)["waiting_for"]
    stranger = farm.agent("stranger", tiny="bb")
    stranger.heartbeat()
    assert stranger.next() is None
    farm.follow()
    assert "other weights under the name tiny" in farm.read(job_id)["waiting_for"]
    claimed = farm.agent().claim_next()
    assert farm.read(job_id)["waiting_for"] is None
    assert claimed.fine_tune_id == job_id


def test_a_host_that_goes_silent_loses_the_job_to_another_and_comes_too_late(farm):
    job_id = farm.lend()
    silent, other = farm.agent("silent"), farm.agent("other")
    lost = silent.claim_next()
    silent.tell(lost, news(job_id, 1, 2, 3))
    farm.let_leases_run_out()
    assert silent.tell(lost, news(job_id, 4)).json()["code"] == "lease_lost"
    assert silent.deliver(lost).json()["code"] == "lease_lost"
    assert silent.report(lost, failure=HARD).json()["code"] == "lease_lost"
    claimed = other.claim_next()
    assert claimed.fence == 2
    other.tell(claimed, news(job_id, 1))
    succeed(other, claimed)
    assert farm.read(job_id)["state"] == "succeeded"
    kinds = farm.kinds(job_id)
    assert kinds == ["state", "state", "chats", "claimed", "step", "step", "step", "host_lost", "claimed",
                     "step", "finished"]  # fmt: skip


def test_a_host_that_goes_on_where_it_stood_tells_no_event_twice(farm):
    job_id = farm.lend()
    agent = farm.agent()
    first = agent.claim_next()
    agent.tell(first, news(job_id, 1, 2))
    agent.tell(first, news(job_id, 1, 2))
    farm.let_leases_run_out()
    again = agent.claim_next()
    assert agent.tell(again, news(job_id, 4, after=3)).json()["events_seen"] == 4
    assert agent.tell(again, news(job_id, 4, 5, after=3)).json()["events_seen"] == 5
    steps = [one["data"]["step"] for one in farm.events(job_id) if one["type"] == "step"]
    assert steps == [1, 2, 4, 5]


def test_who_has_a_checkpoint_of_a_job_is_asked_before_others(farm):
    job_id = farm.lend()
    begun, other = farm.agent("begun"), farm.agent("other")
    claimed = begun.claim_next()
    begun.release(claimed)
    begun.heartbeat(borrowed=(job_id,))
    other.heartbeat()
    assert other.next() is None
    begun.heartbeat(slots=0, borrowed=(job_id,))
    assert other.next() is not None


def test_without_the_service_token_no_host_is_heard(farm):
    job_id = farm.lend()
    attempt_id = farm.agent().claim_next().attempt_id
    stranger = FakeTrainingAgent(farm.gateway.http, "guessed", "stranger")
    assert stranger.try_claim(attempt_id).status_code == 401
    path = f"/internal/v1/fine-tune-attempts/{attempt_id}"
    assert farm.gateway.http.get(f"{path}/chats").status_code == 401
    assert farm.gateway.http.put(f"{path}/adapter", content=b"x").status_code == 401
    assert farm.read(job_id)["state"] == "running"


def test_a_job_that_outlives_no_host_fails_as_the_platforms_fault(farm):
    job_id = farm.lend()
    agent = farm.agent()
    for _ in range(3):
        agent.claim_next()
        farm.let_leases_run_out()
    read = farm.read(job_id)
    assert (read["state"], read["failure"]["reason"]) == ("failed", "host_lost")
    agent.heartbeat()
    assert agent.next() is None
    farm.follow()
    assert farm.gateway.fine_tuner.status(job_id) is None


def test_a_cancelled_job_is_cancelled_at_its_host_and_leaves_nothing(farm):
    job_id = farm.lend()
    agent = farm.agent()
    claimed = agent.claim_next()
    assert farm.gateway.http.delete(f"/v1/fine-tunes/{job_id}").status_code < 300
    assert agent.tell(claimed, news(job_id, 1)).json()["cancel"] is True
    assert agent.deliver(claimed).json()["code"] == "lease_lost"
    assert agent.report(claimed, failure=HARD).json()["code"] == "lease_lost"
    farm.follow()
    assert agent.tell(claimed, news(job_id, 1)).json()["cancel"] is True
    assert farm.read(job_id)["state"] == "cancelled"
    assert farm.gateway.fine_tuner.status(job_id) is None
    assert agent.heartbeat(borrowed=(job_id, "unknown")) == [job_id, "unknown"]


def test_a_job_cancelled_while_it_waits_is_claimed_by_nobody(farm):
    job_id = farm.lend()
    agent = farm.agent()
    agent.heartbeat()
    attempt_id = agent.next()
    farm.gateway.http.delete(f"/v1/fine-tunes/{job_id}")
    assert agent.try_claim(attempt_id).status_code == 409
    assert agent.next() is None


def test_what_is_given_back_is_offered_again_at_once_and_is_no_loss(farm):
    job_id = farm.lend()
    agent = farm.agent()
    for _ in range(5):
        claimed = agent.claim_next()
        assert agent.release(claimed).status_code == 204
        assert agent.release(claimed).status_code == 204
    assert farm.read(job_id)["state"] == "running"
    assert agent.claim_next().fence == 6


def test_a_failure_that_may_pass_is_tried_again_later_and_one_that_does_not_ends_the_job(farm):
    job_id = farm.lend()
    agent = farm.agent()
    claimed = agent.claim_next()
    assert agent.report(claimed, failure=AWAY).status_code == 204
    assert agent.report(claimed, failure=AWAY).status_code == 204
    farm.follow()
    read = farm.read(job_id)
    assert (read["state"], read["waiting_for"][:23]) == ("running", "try 1 of 3 after disk_f")
    assert agent.next() is None
    farm.let_rests_go_by()
    farm.follow()
    agent.report(agent.claim_next(), failure=HARD)
    read = farm.read(job_id)
    assert (read["state"], read["failure"]["reason"]) == ("failed", "non_finite")
    assert not farm.gateway.fine_tuner.retried


def test_a_job_goes_on_from_its_parent_which_the_host_is_given(farm):
    parent = farm.lend()
    agent = farm.agent()
    succeed(agent, agent.claim_next())
    farm.follow()
    farm.gateway.fine_tuner.kept[parent] = None
    child = farm.lend(parent_adapter=parent)
    claimed = agent.claim_next()
    assert (claimed.fine_tune_id, claimed.parent_adapter) == (child, parent)
    assert agent.get(claimed, "parent").content == b"bytes"


def test_a_gateway_that_dies_before_it_wrote_down_that_a_job_is_lent_offers_it_all_the_same(farm):
    job_id = farm.lend()
    with farm.gateway.services.database.write() as session:
        session.query(FineTuneAttemptRow).delete()
        row = session.get_one(FineTuneRow, job_id)
        row.is_submitted = row.is_lent = False
    farm.hand_in()
    assert farm.agent().claim_next().fine_tune_id == job_id
    assert farm.gateway.fine_tuner.puts == [job_id]


def test_a_lent_job_whose_chats_somebody_removed_is_lost(farm):
    job_id = farm.lend()
    farm.gateway.fine_tuner.lose(job_id)
    farm.follow()
    assert farm.read(job_id)["failure"]["reason"] == "job_lost"
    farm.follow()
    assert not farm.journal.unsettled(submitted=True)


@pytest.fixture
def broker():
    return FakeBroker()


def dispatch(farm, broker):
    services = farm.gateway.services
    return Dispatch(
        services.database, services.offers, services.training_hosts, services.leases, broker, 10.0
    )


def test_the_broker_is_told_of_as_many_jobs_as_hosts_have_free_slots(farm, broker):
    jobs = [farm.lend(seed=seed) for seed in range(3)]
    agents = [farm.agent(name, SHARED) for name in ("a", "b")]
    assert dispatch(farm, broker).publish_round() == 0
    for agent in agents:
        agent.heartbeat()
    assert dispatch(farm, broker).publish_round() == 2
    assert dispatch(farm, broker).publish_round() == 0
    assert {order.queue for order in broker.sent} == {SHARED}
    claimed = [agents[0].claim(order.attempt_id) for order in broker.sent[:1]]
    assert claimed[0].fine_tune_id == jobs[0]
    succeed(agents[0], claimed[0])
    assert dispatch(farm, broker).publish_round() == 1


def test_a_job_for_some_hosts_alone_goes_to_the_queue_of_one_and_nobody_else_may_claim_it(farm, broker):
    farm.gateway.fine_tuner.weights = {"tiny": "aa"}
    farm.lend()
    able, other = farm.agent("able", SHARED), farm.agent("other", SHARED, tiny="bb")
    able.heartbeat(), other.heartbeat()
    dispatch(farm, broker).publish_round()
    (order,) = broker.sent
    assert order.queue == f"{SHARED}.able"
    assert other.try_claim(order.attempt_id).status_code == 409
    assert able.claim(order.attempt_id).fence == 1


def test_what_nobody_claimed_in_time_is_told_again_and_what_was_not_told_is_not_claimed(farm, broker):
    farm.lend()
    agent = farm.agent("a", SHARED)
    agent.heartbeat()
    dispatch(farm, broker).publish_round()
    farm.let_leases_run_out()
    assert dispatch(farm, broker).publish_round() == 1
    assert len({order.attempt_id for order in broker.sent}) == 1
    farm.lend(seed=2)
    with farm.gateway.services.database.read() as session:
        unpublished = session.query(FineTuneAttemptRow).filter_by(queue="").one().id
    assert agent.try_claim(unpublished).json()["detail"] == "The attempt is not published to this agent."


# --- what it costs ----------------------------------------------------------------------------------


def gpu_seconds(farm) -> int:
    return farm.gateway.http.get("/v1/quota").json()["gpu_seconds_per_day"]["used"]


def held_for(farm, seconds: float) -> None:
    """The lease on what is trained has been held for so long."""
    with farm.gateway.services.database.write() as session:
        for row in session.query(FineTuneAttemptRow):
            if row.state == "leased":
                row.started_at -= timedelta(seconds=seconds)


def test_a_gpu_that_trains_is_counted_for_as_long_as_its_lease_is_held(farm):
    agent = farm.agent()
    agent.gpus = 1
    farm.lend()
    claimed = agent.claim_next()
    assert gpu_seconds(farm) <= 2
    held_for(farm, 100)
    since_midnight = _seconds_since_midnight()
    assert min(100, since_midnight) <= gpu_seconds(farm) <= 110
    agent.release(claimed)
    again = agent.claim_next()
    held_for(farm, 50)
    assert min(150, since_midnight) <= gpu_seconds(farm) <= 170
    agent.report(again, failure=HARD)
    assert min(150, since_midnight) <= gpu_seconds(farm) <= 170


def test_a_lease_counts_on_the_day_on_which_it_is_held(farm):
    agent = farm.agent()
    agent.gpus = 1
    farm.lend()
    agent.claim_next()
    held_for(farm, 50 * 3600)
    assert gpu_seconds(farm) == pytest.approx(_seconds_since_midnight(), abs=10)


def test_what_a_lease_costs_stays_as_it_was_claimed_whatever_its_host_says_later(farm):
    agent = farm.agent()
    agent.gpus = 2
    farm.lend()
    claimed = agent.claim_next()
    held_for(farm, 30)
    since_midnight = _seconds_since_midnight()
    agent.gpus = 0
    agent.heartbeat()
    assert min(60, since_midnight) <= gpu_seconds(farm) <= 80
    agent.report(claimed, failure=HARD)
    assert min(60, since_midnight) <= gpu_seconds(farm) <= 80


def test_a_fine_tune_of_a_tenant_without_gpu_seconds_waits_for_the_next_day_or_a_host_without_gpus(farm):
    limit = partial(farm.gateway.http.patch, "/v1/tenants/local")
    assert limit(json={"gpu_seconds_per_day": 0}).status_code == 200
    agent = farm.agent()
    agent.gpus = 1
    agent.heartbeat()
    job_id = farm.lend()
    assert agent.next() is None
    farm.follow()
    assert "gpu_seconds_per_day" in farm.read(job_id)["waiting_for"]
    without = farm.agent("cpu-1")
    without.heartbeat()
    assert without.next() is not None
    assert limit(json={"gpu_seconds_per_day": 1000}).status_code == 200
    farm.lend(seed=2)
    assert agent.next() is not None


def test_a_host_that_trains_without_a_gpu_costs_no_gpu_seconds(farm):
    agent = farm.agent()
    farm.lend()
    agent.claim_next()
    held_for(farm, 100)
    assert gpu_seconds(farm) == 0


def _seconds_since_midnight() -> float:
    now = utc_now()
    return (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
