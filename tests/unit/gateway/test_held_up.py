"""When what a proposer depends on is away: the search waits or pauses, and no slot is blamed."""

import math
import threading
import time
from types import SimpleNamespace

import pytest
from cycle_scene import search_after_baselines, slots_of
from fakes import FakeFarm, FakeFilter, FakeGenerator
from search_scene import AMPLE, accept, new_database, request

from contracts.names import EXTERNAL_PROPOSER, SearchState, SlotState
from contracts.proposals import Proposal, ProposerBlocked
from gateway.domain.search import ProposerChoice
from gateway.infra.candidate_store import CandidateStore
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import read_events
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.quotas import QuotaStore
from gateway.infra.search_store import SearchStore, search_topic
from gateway.infra.slot_journal import SearchNotRunning
from gateway.infra.slot_proposals import record_told
from gateway.infra.work_leases import WorkLeases
from gateway.loop import conductor as conductor_module
from gateway.loop import delays
from gateway.loop.conductor import Conductor
from gateway.loop.delays import LONGEST_ASKED_SECONDS, LONGEST_HELD_UP_SECONDS, HeldUpWait

AWAY = ProposerBlocked("endpoint_unreachable", "The endpoint 'default' cannot be reached.", "Start it.", True)
NO_KEY = ProposerBlocked(
    "key_missing", "The endpoint 'default' has no key.", "Set DELTANAS_LLM_API_KEY.", False
)


def blocked(**fields) -> ProposerBlocked:
    return ProposerBlocked(**{"code": "c", "message": "m", "remedy": "r", "retryable": True, **fields})


def test_waits_grow_up_to_a_bound():
    wait, seconds = HeldUpWait(), []
    assert wait.seconds_left() == 0
    for _ in range(12):
        wait = wait.longer(blocked())
        seconds.append(wait.seconds)
    assert seconds[:4] == [1, 2, 4, 8]
    assert seconds[-1] == LONGEST_HELD_UP_SECONDS >= wait.seconds_left() > 0


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (200, 200),
        (0.0, 1),
        (-5, 1),
        (math.nan, 1),
        (math.inf, LONGEST_ASKED_SECONDS),
        (10**9, LONGEST_ASKED_SECONDS),
    ],
)
def test_a_wait_is_as_long_as_is_asked_for_within_reason(asked, waits):
    assert HeldUpWait().longer(blocked(retry_after_seconds=asked)).seconds == waits


def test_what_arrived_before_is_kept_and_no_slot_is_blamed(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {2: [ProposerHeldUp(AWAY)] * 3}
    for _ in range(3):
        with pytest.raises(ProposerHeldUp):
            scene.run().advance()
    states = [slot.state for slot in slots_of(scene)]
    assert SlotState.PENDING not in states[:2]
    assert states[2:] == [SlotState.PENDING] * 2
    assert {slot.step_errors for slot in slots_of(scene)} == {0}
    scene.finish()
    assert scene.generator.batches == [[0, 1, 2, 3], [2, 3], [2, 3], [2, 3]]
    assert scene.store.document(scene.search_id)["funnel"]["lost"] == 0


def test_while_nobody_may_be_asked_evaluations_are_settled(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {2: [ProposerHeldUp(AWAY)]}
    with pytest.raises(ProposerHeldUp):
        scene.run().advance()
    assert scene.farm.work() > 0
    assert not scene.run().advance(asks=False)
    assert SlotState.EVALUATING not in {slot.state for slot in slots_of(scene)}
    assert len(scene.generator.batches) == 1


def test_a_model_that_takes_its_time_is_let_go_when_the_search_is_cancelled(tmp_path, monkeypatch):
    scene = search_after_baselines(tmp_path)
    let_go = []

    def propose(asked):
        try:
            yield Proposal(0, "slow", "grow 1", "")
            scene.farm.work()
            yield None
            assert slots_of(scene)[0].state.is_final, "evaluations are settled meanwhile"
            scene.store.cancel(scene.search_id)
            yield None
            raise AssertionError("it was not let go")
        except GeneratorExit:
            let_go.append(asked.cycle)
            raise

    monkeypatch.setattr(scene.generator, "propose", propose)
    with pytest.raises(SearchNotRunning):
        scene.run().advance()
    assert let_go == [1]


@pytest.fixture
def services(tmp_path, monkeypatch):
    monkeypatch.setattr(conductor_module, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(delays, "FIRST_HELD_UP_SECONDS", 0.01)
    database = new_database(tmp_path)
    evaluations = EvaluationStore(database)
    services = SimpleNamespace(
        database=database,
        leases=WorkLeases(database),
        quotas=QuotaStore(database, AMPLE),
        evaluations=evaluations,
        searches=SearchStore(database, evaluations),
        candidates=CandidateStore(database),
        generator=FakeGenerator(),
        filter=FakeFilter(),
    )
    over = threading.Event()
    conductor = Conductor(services)
    conductor.start()

    def work():
        while not over.wait(0.02):
            FakeFarm(database).work()

    farm = threading.Thread(target=work)
    farm.start()
    yield services
    over.set()
    farm.join()
    conductor.stop()
    database.close()


def start(services, **fields) -> str:
    return accept(services.database, request(**{"cycles": 1, "candidates_per_cycle": 3, **fields}))


def wait_until(condition, what: str):
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up, f"{what} did not happen"
        time.sleep(0.02)


def wait_for_state(services, search_id: str, state: SearchState):
    wait_until(lambda: services.searches.read(search_id).state is state, f"{search_id} being {state.value}")


def states_told(services, search_id: str) -> list[dict]:
    return [
        event.data
        for event in read_events(services.database, search_topic(search_id), 0)
        if event.type == "state"
    ]


@pytest.mark.slow
def test_an_endpoint_that_comes_back_is_waited_for_and_the_waits_are_counted(services):
    services.generator.trouble = {1: [ProposerHeldUp(AWAY)] * 3}
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.SUCCEEDED)
    told = [(data.get("waiting_for"), data.get("code")) for data in states_told(services, search_id)]
    assert (AWAY.message, "endpoint_unreachable") in told
    progress = services.searches.document(search_id)["progress"]
    assert progress["platform_waits"] == {"endpoint_unreachable": 3}
    assert progress["waiting_for"] is None


@pytest.mark.slow
def test_a_search_ends_although_one_slot_holds_its_proposer_up_for_ever(services):
    services.generator.trouble = {1: [ProposerHeldUp(AWAY)] * 1000}
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.SUCCEEDED)
    document = services.searches.document(search_id)
    assert document["funnel"]["lost"] == 1
    assert document["progress"]["platform_waits"] == {"endpoint_unreachable": 3}


@pytest.mark.slow
def test_a_search_that_waits_for_long_can_be_paused_and_goes_on_when_resumed(services):
    services.generator.trouble = {0: [ProposerHeldUp(blocked(message="wait", retry_after_seconds=800))]}
    search_id = start(services)
    document = services.searches.document
    wait_until(lambda: document(search_id)["progress"]["waiting_for"] == "wait", "the wait")
    services.searches.pause(search_id)
    wait_until(lambda: not drivers(), "the end of its thread")
    services.searches.resume(search_id)
    wait_for_state(services, search_id, SearchState.SUCCEEDED)


@pytest.mark.slow
def test_what_somebody_has_to_mend_pauses_the_search_with_the_remedy(services):
    services.generator.trouble = {1: [ProposerHeldUp(NO_KEY)]}
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.PAUSED)
    reason = {"code": NO_KEY.code, "message": NO_KEY.message, "remedy": NO_KEY.remedy}
    assert services.searches.document(search_id)["paused_by"] == reason
    assert {"state": "paused", "paused_by": reason} in states_told(services, search_id)
    services.searches.resume(search_id)
    wait_for_state(services, search_id, SearchState.SUCCEEDED)
    assert services.searches.document(search_id)["paused_by"] is None
    assert services.generator.batches == [[0, 1, 2], [1, 2]]


@pytest.mark.slow
def test_a_search_of_an_outside_agent_waits_for_it_and_lets_others_run(services, monkeypatch):
    monkeypatch.setattr(conductor_module, "CONCURRENT_SEARCHES", 1)
    external = start(services, proposer=ProposerChoice(EXTERNAL_PROPOSER))
    document = services.searches.document
    wait_until(lambda: "agent" in (document(external)["progress"]["waiting_for"] or ""), "the wait")
    wait_for_state(services, start(services), SearchState.SUCCEEDED)
    for place in (2, 0, 1):
        with services.database.write() as session:
            told = Proposal(place, "me", f"grow {place}", "")
            record_told(session, external, f"{external}-c001-s{place:03d}", told)
    wait_for_state(services, external, SearchState.SUCCEEDED)
    slots = services.candidates.page(external, cycle=1)[0]
    assert [slot["proposer"] for slot in slots] == ["me"] * 3
    assert [asked.search_id for asked in services.generator.asked if asked.search_id == external] == []


def drivers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("search ")]
