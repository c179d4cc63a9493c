"""What the store of searches and the journal of slots promise, whatever database is behind them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from fakes import baseline, measurement
from fresh_databases import sqlite_url
from sqlalchemy.exc import IntegrityError

from contracts.names import EvaluationState, Integrity, SearchState, SlotState
from contracts.proposals import Proposal
from gateway.domain.candidate import SlotFailure
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.judging import judge
from gateway.domain.search import SearchRequest, proposal_id
from gateway.infra import slot_journal
from gateway.infra.candidate_store import CandidateStore
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import events_after
from gateway.infra.search_store import SearchNotFound, SearchStateConflict, SearchStore, search_topic
from gateway.infra.search_tables import SearchRow, SlotRow
from gateway.infra.slot_journal import SearchNotRunning, SlotJournal

REQUEST = SearchRequest(name="trees", dataset="digits", baselines=("oak", "elm"), cycles=2)
NETWORKS = (baseline("oak"), baseline("elm", "residual"))


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def store(database):
    return SearchStore(database, EvaluationStore(database))


@pytest.fixture
def search_id(database, store):
    return accept(database, store)


@pytest.fixture
def journal(database, search_id):
    journal = SlotJournal(database, EvaluationStore(database), search_id)
    journal.start()
    return journal


def accept(database, store, tenant="local", request=REQUEST) -> str:
    with database.write() as session:
        return store.create(session, tenant, request, NETWORKS, 10)


def evaluation_of(journal, slot):
    return EvaluationRequest(source=journal.source(slot.proposal_id), dataset="digits")


def submit_baselines(journal):
    for slot in journal.slots(0):
        journal.submit(journal.record_novel(slot), evaluation_of(journal, slot))
    return journal.slots(0)


def events(database, search_id):
    with database.read() as session:
        return [(event.type, event.data) for event in events_after(session, search_topic(search_id), 0)]


def test_a_request_comes_back_as_it_was_accepted(store, search_id):
    record = store.read(search_id)
    assert record.request == REQUEST
    assert record.state is SearchState.QUEUED


def test_a_search_refused_in_its_transaction_leaves_nothing(database, store):
    def accept_and_break():
        with database.write() as session:
            store.create(session, "local", REQUEST, NETWORKS, 10)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        accept_and_break()
    assert store.page("local", 10, None) == ([], None)


def test_the_baselines_are_slots_of_cycle_0_with_their_sources(journal):
    slots = journal.slots()
    assert [(slot.cycle, slot.slot, slot.name, slot.state) for slot in slots] == [
        (0, 0, "oak", SlotState.APPLIED),
        (0, 1, "elm", SlotState.APPLIED),
    ]
    assert [journal.source(slot.proposal_id) for slot in slots] == [network.source for network in NETWORKS]


def test_a_tenant_sees_only_its_own(database, store, search_id):
    theirs = accept(database, store, tenant="other")
    assert [found["id"] for found in store.page("local", 10, None)[0]] == [search_id]
    candidates = CandidateStore(database)
    of_candidates = (candidates.page, candidates.elites, candidates.outline, candidates.diagnostics)
    for ask in (store.read, store.document, store.cycles, *of_candidates, store.pause, store.cancel):
        with pytest.raises(SearchNotFound):
            ask(theirs, "local")


def test_a_place_in_a_search_exists_once(database, search_id):
    def add_another_slot_there():
        with database.write() as session:
            row = session.get_one(SlotRow, f"{search_id}-c000-s000")
            columns = {column.name: getattr(row, column.name) for column in SlotRow.__table__.columns}
            session.add(SlotRow(**columns | {"proposal_id": "another-name"}))

    with pytest.raises(IntegrityError):
        add_another_slot_there()


def test_every_step_taken_twice_counts_once(database, journal, search_id):
    parents = journal.slots(0)
    journal.open_cycle(1, parents)
    journal.open_cycle(1, parents[::-1])
    (first, _) = pending = journal.slots(1)
    assert [slot.parent_id for slot in pending] == [slot.proposal_id for slot in parents]
    proposed = journal.record_proposal(first, Proposal(0, "fake", "delta one", "one"))
    assert journal.record_proposal(first, Proposal(0, "fake", "delta two", "two")) == proposed
    assert journal.raw_proposal(first.proposal_id) == "delta one"
    applied = journal.record_applied(proposed, NETWORKS[0].source + "x = 1\n", "+x = 1")
    assert journal.record_applied(proposed, "other", "other") == applied
    novel = journal.record_novel(applied)
    assert journal.record_novel(applied) == novel
    submitted = journal.submit(novel, evaluation_of(journal, novel))
    assert journal.submit(novel, evaluation_of(journal, novel)) == submitted
    verdict = judge(EvaluationState.SUCCEEDED, measurement(0.7), None, 10)
    settled = journal.settle(submitted, verdict)
    assert journal.settle(submitted, judge(EvaluationState.CANCELLED, None, None, 10)) == settled
    told = [data["state"] for kind, data in events(database, search_id) if kind == "slot"]
    assert told == ["proposed", "applied", "novel", "evaluating", "judged"]


def test_a_slot_that_has_to_wait_for_room_is_no_news(database, search_id):
    room = [False, False, True]
    journal = SlotJournal(database, EvaluationStore(database), search_id, lambda *_: room.pop(0))
    journal.start()
    slot = journal.record_novel(journal.slots(0)[0])
    before = len(events(database, search_id))
    for _ in range(2):
        slot = journal.submit(slot, evaluation_of(journal, slot))
        assert slot.state is SlotState.NOVEL
    assert len(events(database, search_id)) == before
    assert journal.submit(slot, evaluation_of(journal, slot)).state is SlotState.EVALUATING
    assert len(events(database, search_id)) == before + 1


def test_an_evaluation_and_the_slot_that_waits_for_it_are_one_transaction(database, journal, monkeypatch):
    slot = journal.record_novel(journal.slots(0)[0])

    def cut(*_args, **_more):
        raise RuntimeError("cut off between evaluation and slot")

    monkeypatch.setattr(slot_journal, "log_slot", cut)
    with pytest.raises(RuntimeError):
        journal.submit(slot, evaluation_of(journal, slot))
    monkeypatch.undo()
    assert EvaluationStore(database).page("local").items == ()
    assert journal.slots(0)[0].state is SlotState.NOVEL


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_no_step_is_kept_once_a_search_does_not_run(store, journal, search_id, verb):
    slot = journal.slots(0)[0]
    getattr(store, verb)(search_id)
    for step in (
        lambda: journal.open_cycle(1, [slot]),
        lambda: journal.record_novel(slot),
        lambda: journal.record_lost(slot, SlotFailure("infrastructure", "gone")),
        lambda: journal.submit(slot, evaluation_of(journal, slot)),
        lambda: journal.close_cycle(0, []),
        lambda: journal.succeed(None),
        lambda: journal.fail("too late"),
        journal.start,
    ):
        with pytest.raises(SearchNotRunning):
            step()
    assert journal.slots()[0] == slot


def test_cancelling_ends_every_open_evaluation(database, store, journal, search_id):
    slots = submit_baselines(journal)
    store.cancel(search_id)
    evaluations = EvaluationStore(database)
    states = {evaluations.read(slot.evaluation_id).state for slot in slots}
    assert states == {EvaluationState.CANCELLED}


def test_cancel_and_success_racing_leave_one_terminal_state(database, store):
    for _ in range(10):
        search_id = accept(database, store)
        journal = SlotJournal(database, EvaluationStore(database), search_id)
        journal.start()
        together = threading.Barrier(2)
        threads = [
            threading.Thread(target=_quietly, args=(together, lambda j=journal: j.succeed(None))),
            threading.Thread(target=_quietly, args=(together, lambda s=search_id: store.cancel(s))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended = [data["state"] for kind, data in events(database, search_id) if kind == "finished"]
        assert ended == [store.read(search_id).state.value]


def _quietly(together, act):
    together.wait()
    with suppress(SearchNotRunning, SearchStateConflict):
        act()


def test_a_terminal_state_is_never_left(store, journal, search_id):
    journal.succeed(None)
    before = store.read(search_id)
    for verb in (store.pause, store.resume, store.cancel):
        with pytest.raises(SearchStateConflict):
            verb(search_id)
    assert store.read(search_id) == before


def test_closing_a_cycle_moves_the_elites_and_tells_them(database, store, journal, search_id):
    oak, elm = submit_baselines(journal)
    for slot in (oak, elm):
        journal.settle(slot, judge(EvaluationState.SUCCEEDED, measurement(0.7), None, 10))
    journal.close_cycle(0, [oak.proposal_id])
    journal.close_cycle(0, [elm.proposal_id])
    assert [slot.elite for slot in journal.slots(0)] == [True, False]
    journal.open_cycle(1, [oak])
    journal.close_cycle(1, [elm.proposal_id])
    assert [slot.elite for slot in journal.slots(0)] == [False, True]
    told = [data["elites"] for kind, data in events(database, search_id) if kind == "cycle_finished"]
    assert told == [[oak.proposal_id], [elm.proposal_id]]


def test_strict_splits_are_secret_and_standard_ones_public(database, store):
    strict = SearchRequest(name="s", dataset="digits", baselines=("oak", "elm"), integrity=Integrity.STRICT)
    ids = [accept(database, store, request=wanted) for wanted in (strict, strict, REQUEST, REQUEST)]
    with database.read() as session:
        keys = [session.get_one(SearchRow, search_id).split_key for search_id in ids]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_equal_standard_searches_on_two_machines_halve_the_data_alike(tmp_path):
    keys = []
    for name in ("one", "other"):
        database = Database(sqlite_url(tmp_path, name))
        search_id = accept(database, SearchStore(database, EvaluationStore(database)))
        with database.read() as session:
            keys.append(session.get_one(SearchRow, search_id).split_key)
        database.close()
    assert keys[0] == keys[1]


def test_people_may_read_while_the_conductor_writes(store, journal, search_id):
    over = threading.Event()

    def read() -> int:
        looks = 0
        while not over.is_set():
            before = len(store.cycles(search_id))
            assert store.document(search_id)["progress"]["cycle"] + 1 >= before
            looks += 1
        return looks

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for cycle in range(1, 6):
            journal.open_cycle(cycle, journal.slots(0))
            journal.close_cycle(cycle, [])
        over.set()
        assert reader.result() > 0


@pytest.mark.full
def test_a_search_is_read_whole_however_many_candidates_it_has(database, search_id):
    with database.write() as session:
        parent = session.get(SlotRow, proposal_id(search_id, 0, 0))
        parent.delta = "of the baseline"
        session.add_all(child_of(parent, place) for place in range(10_050))
    candidates = CandidateStore(database)
    outlined = candidates.outline(search_id)
    assert len(outlined) == 10_052
    assert {document["delta"] for document in outlined} == {None}
    assert candidates.deltas(search_id, [parent.proposal_id]) == {parent.proposal_id: "of the baseline"}
    assert len(candidates.page(search_id)[0]) == 10_052
    with pytest.raises(SearchNotFound):
        candidates.outline(search_id, "another")


def child_of(parent, place):
    cycle, slot = 1 + place // 200, place % 200
    return SlotRow(
        proposal_id=proposal_id(parent.search_id, cycle, slot),
        search_id=parent.search_id,
        cycle=cycle,
        slot=slot,
        state=SlotState.APPLIED,
        name="n",
        root_id=parent.proposal_id,
        family=parent.family,
        delta="of a child",
    )
