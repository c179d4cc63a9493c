"""The conductor's threads: they start, wait without spinning, outlast services that go away, and stop."""

import threading
import time
from types import SimpleNamespace

import pytest
from fakes import FakeFarm, FakeFilter, FakeGenerator
from search_scene import AMPLE, Scene, accept, new_database, request

from contracts.names import SearchState
from gateway.domain import search_places
from gateway.infra.database import StorageUnavailable
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.quotas import QuotaStore
from gateway.infra.search_store import SearchStore
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.slot_journal import SlotJournal
from gateway.infra.work_leases import WorkLeases
from gateway.loop import conductor as conductor_module
from gateway.loop.conductor import Conductor

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 20


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch):
    monkeypatch.setattr(conductor_module, "FIRST_DELAY_SECONDS", 0.01)


@pytest.fixture
def services(tmp_path):
    database = new_database(tmp_path)
    evaluations = EvaluationStore(database)
    yield SimpleNamespace(
        database=database,
        leases=WorkLeases(database),
        quotas=QuotaStore(database, AMPLE),
        evaluations=evaluations,
        searches=SearchStore(database, evaluations),
        generator=FakeGenerator(),
        filter=FakeFilter(),
    )
    database.close()


@pytest.fixture
def conductor(services):
    conductor = Conductor(services)
    conductor.start()
    yield conductor
    conductor.stop()


@pytest.fixture
def farm(services):
    """Works in the background, as agents do."""
    over = threading.Event()

    def work():
        while not over.wait(0.02):
            FakeFarm(services.database).work()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def start(services, tenant: str = "local", **fields) -> str:
    wanted = request(**{"cycles": 1, "candidates_per_cycle": 3, **fields})
    return accept(services.database, wanted, tenant=tenant)


def wait_for(condition, what: str):
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up, f"{what} did not happen"
        time.sleep(0.02)


def wait_for_state(services, search_id: str, state: SearchState):
    wait_for(lambda: services.searches.read(search_id).state is state, f"{search_id} being {state.value}")


def driven() -> set[str]:
    return {thread.name.removeprefix("search ") for thread in drivers()}


def drivers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("search ")]


def test_a_search_runs_to_its_end_by_itself(services, farm, conductor):
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.SUCCEEDED)
    wait_for(lambda: not drivers(), "the end of its thread")


def test_several_searches_run_at_once(services, farm, conductor):
    searches = [start(services, seed=seed) for seed in range(3)]
    for search_id in searches:
        wait_for_state(services, search_id, SearchState.SUCCEEDED)


def test_searches_beyond_the_limit_wait_their_turn(services, farm, conductor, monkeypatch):
    monkeypatch.setattr(conductor_module, "CONCURRENT_SEARCHES", 1)
    first, second = start(services), start(services)
    wait_for_state(services, second, SearchState.SUCCEEDED)
    ended = [services.searches.read(search_id).finished_at for search_id in (first, second)]
    assert ended[0] <= services.searches.read(second).started_at


def test_another_tenants_search_need_not_wait_for_the_end_of_many(services, conductor, monkeypatch):
    monkeypatch.setattr(conductor_module, "CONCURRENT_SEARCHES", 2)
    first, second, third = (start(services, tenant="ann") for _ in range(3))
    wait_for_state(services, second, SearchState.RUNNING)
    bobs = start(services, tenant="bob")
    wait_for_state(services, bobs, SearchState.RUNNING)
    wait_for(lambda: driven() == {first, bobs}, "the second search's rest")
    assert services.searches.read(third).state is SearchState.QUEUED


def test_a_search_that_made_room_goes_on_where_it_stood(services, conductor, monkeypatch, request):
    monkeypatch.setattr(conductor_module, "CONCURRENT_SEARCHES", 1)
    monkeypatch.setattr(search_places, "TURN_SECONDS", 0.0)
    anns = start(services, tenant="ann")
    wait_for_state(services, anns, SearchState.RUNNING)
    bobs = start(services, tenant="bob")
    wait_for_state(services, bobs, SearchState.RUNNING)
    request.getfixturevalue("farm")
    for search_id in (anns, bobs):
        wait_for_state(services, search_id, SearchState.SUCCEEDED)
        assert len(services.generator.batches) == 2


def test_what_was_running_when_the_process_died_is_taken_up_at_start(services, farm):
    search_id = start(services)
    Scene(services.database, search_id, services.generator, services.filter).run().advance()
    conductor = Conductor(services)
    conductor.start()
    wait_for_state(services, search_id, SearchState.SUCCEEDED)
    conductor.stop()


def test_a_waiting_search_does_not_spin(services, conductor, monkeypatch):
    looks = []
    honest = EvaluationStore.submit
    monkeypatch.setattr(EvaluationStore, "submit", lambda *a, **k: looks.append(1) or honest(*a, **k))
    counted = []
    original = services.database.read
    monkeypatch.setattr(services.database, "read", lambda: counted.append(1) or original())
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.RUNNING)
    wait_for(lambda: len(looks) == 2, "submitting both baselines")
    time.sleep(0.3)
    before = len(counted)
    time.sleep(0.5)
    assert len(counted) - before <= 2


def test_a_search_of_a_tenant_whose_storage_is_full_pauses_and_goes_on_when_there_is_room(
    services, farm, conductor
):
    services.quotas.change("local", {"storage_bytes": 1})
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.PAUSED)
    reason = services.searches.document(search_id)["paused_by"]
    assert reason["code"] == "storage_full"
    assert "storage_bytes is 1" in reason["message"]
    assert reason["remedy"]
    assert services.generator.batches == []
    services.quotas.change("local", {"storage_bytes": None})
    services.searches.resume(search_id)
    wait_for_state(services, search_id, SearchState.SUCCEEDED)


def test_a_service_that_goes_away_is_waited_for_and_named(services, farm, conductor, monkeypatch):
    away = ["filter cannot be reached"]
    monkeypatch.setattr(services.filter, "readiness_problems", lambda: list(away))
    services.filter.trouble = [ServiceUnavailable("filter", "connection refused")] * 2
    search_id = start(services)

    def waiting_for():
        return services.searches.document(search_id)["progress"]["waiting_for"]

    wait_for(lambda: waiting_for() == "filter cannot be reached", "naming the filter")
    assert services.searches.read(search_id).state is SearchState.RUNNING
    away.clear()
    wait_for_state(services, search_id, SearchState.SUCCEEDED)
    assert waiting_for() is None


def test_a_search_can_be_cancelled_while_it_waits_for_a_service(services, farm, conductor, monkeypatch):
    monkeypatch.setattr(services.filter, "readiness_problems", lambda: ["gone"])
    services.filter.trouble = [ServiceUnavailable("filter", "connection refused")] * 100
    search_id = start(services)
    wait_for(lambda: services.searches.read(search_id).waiting_for is not None, "waiting")
    services.searches.cancel(search_id)
    wait_for(lambda: not drivers(), "the end of its thread")
    assert services.searches.read(search_id).state is SearchState.CANCELLED


def test_what_the_proposer_refuses_fails_the_search_with_its_words(services, farm, conductor, monkeypatch):
    def refuse(_asked):
        raise ServiceRefused("generator", 422, {"detail": "unknown proposer 'oracle'"})

    monkeypatch.setattr(services.generator, "propose", refuse)
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.FAILED)
    assert "unknown proposer 'oracle'" in services.searches.read(search_id).failure


def test_an_unforeseen_error_is_retried_and_then_said(services, farm, conductor, monkeypatch):
    def explode(_asked):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(services.generator, "propose", explode)
    monkeypatch.setattr(conductor_module, "UNEXPECTED_ERRORS", 3)
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.FAILED)
    assert "3 times in a row: ZeroDivisionError" in services.searches.read(search_id).failure


def test_a_full_disk_delays_a_search_and_never_fails_it(services, farm, conductor, monkeypatch):
    honest, refused = SlotJournal.record_applied, []

    def once_there_is_room(*arguments):
        if len(refused) < 6:
            refused.append(1)
            raise StorageUnavailable("database or disk is full")
        return honest(*arguments)

    monkeypatch.setattr(SlotJournal, "record_applied", once_there_is_room)
    monkeypatch.setattr(conductor_module, "UNEXPECTED_ERRORS", 3)
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.SUCCEEDED)
    assert len(refused) == 6


def test_a_paused_search_rests_and_resumes(services, conductor):
    search_id = start(services)
    wait_for(lambda: FakeFarm(services.database).work() > 0, "an open evaluation")
    services.searches.pause(search_id)
    wait_for(lambda: not drivers(), "rest")
    FakeFarm(services.database).work()
    services.searches.resume(search_id)

    def ended():
        FakeFarm(services.database).work()
        return services.searches.read(search_id).state is SearchState.SUCCEEDED

    wait_for(ended, "success")


def test_stopping_is_prompt_and_leaves_running_searches_running(services, conductor):
    search_id = start(services)
    wait_for_state(services, search_id, SearchState.RUNNING)
    began = time.monotonic()
    conductor.stop()
    assert time.monotonic() - began < 2
    assert not drivers()
    assert services.searches.read(search_id).state is SearchState.RUNNING
