"""What is published to the broker: as much as there is room for, to hosts that can run it."""

from datetime import timedelta

import pytest
from fakes import FakeAgent, FakeBroker
from gateway_scene import TOKEN

from contracts.dispatch import Resource
from contracts.jobs import DatasetReport
from contracts.names import IsolationTier
from gateway.infra.publication_tables import PublicationRow
from gateway.infra.publications import BrokerUnavailable, Order
from gateway.infra.tables import AttemptRow
from gateway.infra.tenant_tables import AttemptOfferRow
from gateway.loop.dispatching import LONGEST_QUEUE, Dispatch

SHARED = Resource.CPU.value
UNCLAIMED_SECONDS = 10.0
GIB = 2**30
GPU = {
    "devices": ("cuda", "cuda:0", "cuda:1"),
    "tier": IsolationTier.DOCKER_RUNC,
    "gpu_memory_bytes": (24 * GIB, 24 * GIB),
}
LARGE_GPU = {**GPU, "gpu_memory_bytes": (24 * GIB, 80 * GIB)}


@pytest.fixture
def broker():
    return FakeBroker()


def a_dispatch(scene, broker):
    services = scene.services
    return Dispatch(
        services.database,
        services.offers,
        services.training_hosts,
        services.leases,
        broker,
        UNCLAIMED_SECONDS,
    )


@pytest.fixture
def dispatch(scene, broker):
    return a_dispatch(scene, broker)


def listening(scene, name, resource=Resource.CPU, **offered):
    """A farm's agent that the gateway has heard of."""
    agent = FakeAgent(scene.http, TOKEN, name, resource.value)
    agent.heartbeat(**offered)
    return agent


def submit(scene, count, **fields):
    return [scene.submit(seed=seed, **fields) for seed in range(count)]


def let_time_pass(scene, seconds=UNCLAIMED_SECONDS + 1):
    """For what was published and offered."""
    with scene.services.database.write() as session:
        for row in session.query(PublicationRow):
            row.made_at -= timedelta(seconds=seconds)
        for offer in session.query(AttemptOfferRow):
            offer.offered_until -= timedelta(seconds=seconds)


def attempts_of(scene, evaluations):
    return [scene.read(evaluation)["attempts"][-1]["id"] for evaluation in evaluations]


def test_as_many_attempts_are_published_as_there_are_free_slots_oldest_first(scene, dispatch, broker):
    evaluations = submit(scene, 5)
    listening(scene, "a", slots=2)
    listening(scene, "b", slots=1)
    assert dispatch.publish_round() == 3
    assert [order.attempt_id for order in broker.sent] == attempts_of(scene, evaluations[:3])
    assert dispatch.publish_round() == 0


def test_a_slot_that_becomes_free_lets_the_next_attempt_out(scene, dispatch, broker):
    evaluations = submit(scene, 3)
    agent = listening(scene, "a", slots=1)
    dispatch.publish_round()
    claimed = agent.claim(broker.sent[0].attempt_id)
    assert dispatch.publish_round() == 0
    agent.report(claimed)
    assert dispatch.publish_round() == 1
    assert [order.attempt_id for order in broker.sent] == attempts_of(scene, evaluations[:2])


def test_nothing_is_published_for_agents_that_ask_or_drain_or_are_silent(scene, dispatch, broker):
    submit(scene, 3)
    scene.agent.heartbeat()
    listening(scene, "draining", slots=0)
    listening(scene, "without a sandbox".replace(" ", "-"), tier=None)
    assert dispatch.publish_round() == 0
    assert broker.sent == []


def test_what_any_agent_can_run_is_for_whoever_comes_first(scene, dispatch, broker):
    submit(scene, 2)
    listening(scene, "a")
    listening(scene, "b")
    dispatch.publish_round()
    assert {order.queue for order in broker.sent} == {SHARED}


@pytest.mark.parametrize(
    ("asked", "strong"),
    [
        ({"minimum_tier": "docker+runsc"}, {"tier": IsolationTier.DOCKER_RUNSC}),
        (
            {"dataset": "svhn"},
            {"datasets": (DatasetReport("svhn", True, (3, 32, 32), 10, 73_257, 26_032, "hash"),)},
        ),
    ],
    ids=["tier", "data set"],
)
def test_what_one_agent_alone_can_run_goes_to_its_own_queue(scene, dispatch, broker, asked, strong):
    listening(scene, "weak", slots=9)
    listening(scene, "strong", slots=1, **strong)
    submit(scene, 2, **asked)
    dispatch.publish_round()
    assert [order.queue for order in broker.sent] == [Resource.CPU.queue_of("strong")]


def test_attempts_for_gpus_go_to_agents_with_gpus(scene, dispatch, broker):
    listening(scene, "cores", slots=4)
    listening(scene, "gpus", Resource.GPU, slots=1, **GPU)
    [on_gpu] = submit(scene, 1, device="cuda")
    [on_cpu] = submit(scene, 1)
    dispatch.publish_round()
    by_queue = {order.queue: order.attempt_id for order in broker.sent}
    gpu_attempt, cpu_attempt = attempts_of(scene, [on_gpu, on_cpu])
    assert by_queue == {Resource.GPU.value: gpu_attempt, SHARED: cpu_attempt}


def test_what_needs_a_larger_gpu_goes_to_its_agent_alone(scene, dispatch, broker):
    listening(scene, "cores", slots=4)
    small = listening(scene, "small", Resource.GPU, slots=2, **GPU)
    large = listening(scene, "large", Resource.GPU, slots=2, **LARGE_GPU)
    [hungry] = submit(scene, 1, device="cuda", minimum_gpu_memory_bytes=48 * GIB)
    [modest] = submit(scene, 1, device="cuda", minimum_gpu_memory_bytes=24 * GIB)
    dispatch.publish_round()
    by_attempt = {order.attempt_id: order.queue for order in broker.sent}
    wants_much, wants_little = attempts_of(scene, [hungry, modest])
    assert by_attempt == {wants_much: Resource.GPU.queue_of("large"), wants_little: Resource.GPU.value}
    assert small.try_claim(wants_much).status_code == 409
    assert large.claim(wants_much).spec.minimum_gpu_memory_bytes == 48 * GIB


def test_what_nobody_can_run_waits_unpublished_and_says_why(scene, dispatch, broker):
    listening(scene, "cores", slots=4)
    listening(scene, "small", Resource.GPU, slots=2, **GPU)
    [hungry] = submit(scene, 1, device="cuda", minimum_gpu_memory_bytes=48 * GIB)
    assert dispatch.publish_round() == 0
    waiting = scene.read(hungry)
    assert (waiting["state"], waiting["waiting_for"]["code"]) == ("queued", "gpu_memory")
    assert str(24 * GIB) in waiting["waiting_for"]["message"]
    listening(scene, "large", Resource.GPU, slots=2, **LARGE_GPU)
    assert scene.read(hungry)["waiting_for"] is None
    assert dispatch.publish_round() == 1


def test_what_nobody_claimed_in_time_is_published_again(scene, dispatch, broker):
    submit(scene, 2)
    listening(scene, "a")
    assert dispatch.publish_round() == 2
    let_time_pass(scene)
    listening(scene, "a")
    assert dispatch.publish_round() == 2
    first, second, *again = broker.sent
    assert sorted(again, key=str) == sorted([first, second], key=str)


def test_what_was_claimed_is_not_published_again(scene, dispatch, broker):
    submit(scene, 1)
    agent = listening(scene, "a", slots=1)
    dispatch.publish_round()
    agent.claim(broker.sent[0].attempt_id)
    let_time_pass(scene)
    listening(scene, "a", slots=2)
    assert dispatch.publish_round() == 0


def test_what_was_written_down_and_not_sent_is_sent_in_the_next_life(scene, dispatch, broker):
    submit(scene, 2)
    agent = listening(scene, "a")

    class PowerCut(BaseException):
        pass

    def cut(orders):
        raise PowerCut

    broker.send = cut
    with pytest.raises(PowerCut):
        dispatch.publish_round()
    later = FakeBroker()
    next_life = a_dispatch(scene, later)
    let_time_pass(scene, seconds=2)
    assert next_life.publish_round() == 2
    assert agent.try_claim(later.sent[0].attempt_id).status_code == 200


def test_a_gateway_that_dies_after_sending_sends_again_and_the_claims_sort_it_out(scene, dispatch, broker):
    submit(scene, 1)
    agent = listening(scene, "a", slots=1)
    dispatch.publish_round()
    with scene.services.database.write() as session:
        session.query(PublicationRow).one().sent_at = None
    let_time_pass(scene, seconds=2)
    assert dispatch.publish_round() == 1
    first, second = broker.sent
    assert first == second
    assert agent.try_claim(first.attempt_id).status_code == 200
    assert agent.try_claim(second.attempt_id).status_code == 409


def test_a_broker_that_is_away_is_told_and_loses_nothing(scene, dispatch, broker):
    submit(scene, 2)
    listening(scene, "a")
    broker.away = True
    with pytest.raises(BrokerUnavailable):
        dispatch.publish_round()
    broker.away = False
    assert dispatch.publish_round() == 2


def test_a_queue_that_a_stranger_fills_grows_no_longer(scene, dispatch, broker):
    submit(scene, 2)
    listening(scene, "a")
    broker.strangers[SHARED] = LONGEST_QUEUE + 1
    with pytest.raises(BrokerUnavailable, match=SHARED):
        dispatch.publish_round()
    assert broker.sent == []


def test_the_thread_publishes_what_arrives_and_what_agents_free(scene, broker):
    dispatch = a_dispatch(scene, broker)
    dispatch.start()
    try:
        agent = listening(scene, "a", slots=1)
        submit(scene, 2)
        agent.report(agent.claim(_sent(broker, 1).attempt_id))
        agent.report(agent.claim(_sent(broker, 2).attempt_id))
        assert dispatch.problems() == []
    finally:
        dispatch.stop()


def _sent(broker, count) -> Order:
    from processes import until

    until(lambda: len(broker.sent) >= count, 20, f"{count} messages")
    return broker.sent[count - 1]


# --- claims -----------------------------------------------------------------------------------------


def test_what_was_not_published_cannot_be_claimed_by_an_agent_at_the_broker(scene, dispatch, broker):
    """A stranger in the broker names attempts that are not next: the fair order stands."""
    evaluations = submit(scene, 2)
    agent = listening(scene, "a", slots=1)
    dispatch.publish_round()
    published, waiting = attempts_of(scene, evaluations)
    assert agent.try_claim(waiting).status_code == 409
    assert agent.try_claim("at_" + "0" * 28).status_code == 409
    assert agent.try_claim(published).status_code == 200


def test_an_agent_at_the_broker_whose_claim_got_no_answer_repeats_it(scene, dispatch, broker):
    (evaluation,) = submit(scene, 1)
    agent = listening(scene, "a", slots=1)
    dispatch.publish_round()
    (attempt,) = attempts_of(scene, [evaluation])
    first, again = (agent.try_claim(attempt, key="k" * 32) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert agent.try_claim(attempt, key="x" * 32).status_code == 409
    assert agent.try_claim(attempt, key="short").status_code == 422


def test_what_is_for_another_agent_cannot_be_claimed(scene, dispatch, broker):
    """A host that cannot run it would fail, and three failures would end the evaluation."""
    weak = listening(scene, "weak")
    strong = listening(scene, "strong", tier=IsolationTier.DOCKER_RUNSC)
    submit(scene, 1, minimum_tier="docker+runsc")
    dispatch.publish_round()
    [order] = broker.sent
    assert weak.try_claim(order.attempt_id).status_code == 409
    assert strong.try_claim(order.attempt_id).status_code == 200


def test_a_host_that_has_lost_what_an_attempt_needs_cannot_claim_it(scene, dispatch, broker):
    submit(scene, 1)
    agent = listening(scene, "a")
    dispatch.publish_round()
    agent.heartbeat(datasets=())
    assert agent.try_claim(broker.sent[0].attempt_id).status_code == 409


def test_an_agent_that_asks_claims_what_it_was_offered(scene):
    submit(scene, 1)
    scene.agent.heartbeat()
    assert scene.agent.try_claim(scene.agent.next()).status_code == 200


# --- given back -------------------------------------------------------------------------------------


def test_an_attempt_given_back_waits_again_at_once_and_is_no_loss(scene):
    evaluation = scene.submit()
    for _ in range(5):  # three losses would have ended it
        claimed = scene.agent.claim_next()
        assert scene.agent.release(claimed).status_code == 204
        assert scene.read(evaluation)["state"] == "queued"
    scene.agent.report(scene.agent.claim_next(), 0.6)
    ended = scene.read(evaluation)
    assert (ended["state"], ended["measurement"]["accuracy"]) == ("succeeded", 0.6)
    assert [attempt["state"] for attempt in ended["attempts"]] == ["released"] * 5 + ["reported"]


def test_giving_back_twice_changes_nothing_and_a_late_report_is_refused(scene):
    evaluation = scene.submit()
    claimed = scene.agent.claim_next()
    scene.agent.release(claimed)
    assert scene.agent.release(claimed).status_code == 204
    assert scene.agent.report(claimed).status_code == 409
    assert scene.agent.keep(claimed).status_code == 409
    assert len(scene.read(evaluation)["attempts"]) == 2


def test_what_was_reported_or_is_another_agents_cannot_be_given_back(scene):
    scene.submit()
    claimed = scene.agent.claim_next()
    stolen = type(claimed)(claimed.spec, "guessed", claimed.lease_seconds)
    assert scene.agent.release(stolen).status_code == 409
    scene.agent.report(claimed)
    assert scene.agent.release(claimed).status_code == 409
    with scene.services.database.read() as session:
        assert [row.state for row in session.query(AttemptRow)] == ["reported"]
