"""What the evaluation store promises, on every database it supports here."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from contracts.names import EvaluationState
from gateway.domain.evaluation import EvaluationRequest
from gateway.infra.database import Base, Database
from gateway.infra.evaluation_store import EvaluationStore, EvaluationUnknown
from gateway.infra.events import append_event, read_events
from gateway.infra.idempotency import Answer, IdempotencyKeyReused, IdempotencyScope, answer_once
from gateway.infra.schema_migrations import migrate


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def store(database):
    return EvaluationStore(database)


def request(**fields):
    return EvaluationRequest(**{"source": "class Net: ...", "dataset": "digits", **fields})


def test_the_migrations_make_exactly_the_tables_that_the_code_expects(database):
    with database.engine.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert difference == []


def test_migrating_again_changes_nothing(database, store):
    with database.write() as session:
        evaluation_id = store.submit(session, request())
    migrate(database)
    assert store.read(evaluation_id).state is EvaluationState.QUEUED


def test_what_is_submitted_is_read_back_whole(database, store):
    full = request(
        seeds=(1, 2), train_images=100, hyperparameters={"lr": 0.1, "name": "x"}, tags=("a", "b"), priority=3
    )
    with database.write() as session:
        evaluation_id = store.submit(session, full)
    record = store.read(evaluation_id)
    assert record.request == full
    assert [attempt.seed for attempt in record.attempts] == [1, 2]
    assert [attempt.fence for attempt in record.attempts] == [1, 2]


def test_an_origin_makes_one_evaluation_however_often_it_is_submitted(database, store):
    def submit(_):
        with database.write() as session:
            return store.submit(session, request(), origin_key="se_1:c001:s000:seed0")

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(submit, range(8)))
    assert len(ids) == 1
    assert len(store.page("local").items) == 1


def test_a_transaction_that_fails_leaves_no_evaluation_and_wakes_nobody(database, store):
    def fails_half_way():
        with database.write() as session:
            store.submit(session, request(), origin_key="x")
            raise RuntimeError

    with database.signals.in_thread("queue") as bell:
        with pytest.raises(RuntimeError):
            fails_half_way()
        assert not bell.is_set()
    assert store.page("local").items == ()


def test_a_committed_submission_wakes_who_waits_for_work(database, store):
    with database.signals.in_thread("queue") as bell:
        with database.write() as session:
            store.submit(session, request())
        assert bell.is_set()


def test_concurrent_writers_wait_for_each_other(database, store):
    def submit(number):
        with database.write() as session:
            return store.submit(session, request(seeds=(number,)))

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(submit, range(40)))
    assert len(set(ids)) == 40


def test_ids_of_one_process_sort_by_age(database, store):
    with database.write() as session:
        ids = [store.submit(session, request(seeds=(number,))) for number in range(50)]
    assert ids == sorted(ids)


def test_cancelling_is_final_and_happens_once(database, store):
    with database.write() as session:
        evaluation_id = store.submit(session, request(seeds=(0, 1)))
    for _ in range(2):
        with database.write() as session:
            assert store.cancel(session, evaluation_id) is EvaluationState.CANCELLED
    finished = [e for e in read_events(database, f"evaluation:{evaluation_id}", 0) if e.type == "finished"]
    assert len(finished) == 1
    assert {attempt.state for attempt in store.read(evaluation_id).attempts} == {"cancelled"}


def test_another_tenants_evaluation_does_not_exist(database, store):
    with database.write() as session:
        evaluation_id = store.submit(session, request(), tenant="ann")
    with pytest.raises(EvaluationUnknown):
        store.read(evaluation_id, tenant="bob")
    with pytest.raises(EvaluationUnknown):
        store.logs(evaluation_id, tenant="bob")
    with pytest.raises(EvaluationUnknown), database.write() as session:
        store.cancel(session, evaluation_id, tenant="bob")
    assert store.page("bob").items == ()
    assert store.read(evaluation_id).state is EvaluationState.QUEUED


def test_queue_positions_follow_priority_then_age(database, store):
    with database.write() as session:
        first, second, urgent = (
            store.submit(session, request(seeds=(n,), priority=p)) for n, p in enumerate((0, 0, 9))
        )
    assert [store.read(i).queue_position for i in (urgent, first, second)] == [1, 2, 3]


def test_event_ids_grow_and_are_never_used_twice(database):
    with database.write() as session:
        for number in range(3):
            append_event(session, "a", "x", {"n": number})
    before = read_events(database, "a", 0)
    assert [event.data["n"] for event in before] == [0, 1, 2]
    with database.write() as session:
        session.execute(text("DELETE FROM events"))
    with database.write() as session:
        append_event(session, "a", "x", {})
    last = before[-1].id
    (after,) = read_events(database, "a", last)
    assert [event.id for event in (*before, after)] == sorted({*(event.id for event in before), after.id})
    assert read_events(database, "b", 0) == []


def test_answers_are_stored_with_what_they_answer_or_not_at_all(database, store):
    scope = IdempotencyScope("local", "POST /v1/evaluations", "key", "{}")

    def breaks(session):
        store.submit(session, request())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        answer_once(database, scope, breaks)
    assert store.page("local").items == ()
    answer = answer_once(database, scope, lambda _session: Answer(202, {"id": 1}, "/here"))
    assert not answer.replayed
    again = answer_once(database, scope, breaks)
    assert (again.body, again.location, again.replayed) == ({"id": 1}, "/here", True)
    with pytest.raises(IdempotencyKeyReused):
        answer_once(database, IdempotencyScope("local", "POST /v1/evaluations", "key", "[]"), breaks)


CRASH = """
import os, sys
from gateway.domain.evaluation import EvaluationRequest
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
database = Database(sys.argv[1])
store = EvaluationStore(database)
with database.write() as session:
    accepted = store.submit(session, EvaluationRequest(source="kept", dataset="digits"))
print(accepted, flush=True)
with database.write() as session:
    store.submit(session, EvaluationRequest(source="lost", dataset="digits"))
    os.kill(os.getpid(), 9)
"""


def test_what_was_accepted_survives_a_kill_and_what_was_not_leaves_no_trace(database, store):
    url = database.engine.url.render_as_string()
    killed = subprocess.run(
        [sys.executable, "-c", CRASH, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert killed.returncode == -9, killed.stderr
    assert [record.id for record in store.page("local").items] == [killed.stdout.strip()]


def test_open_ones_are_listed_newest_first_page_by_page_whatever_has_ended(database, store):
    with database.write() as session:
        ids = [store.submit(session, request(seeds=(seed,), tags=("odd",) * (seed % 2))) for seed in range(9)]
        for ended in ids[2:5]:
            store.cancel(session, ended)
    queued = [*ids[:2], *ids[5:]][::-1]
    first = store.page("local", limit=4, state=EvaluationState.QUEUED)
    assert [record.id for record in first.items] == queued[:4]
    rest = store.page("local", limit=4, state=EvaluationState.QUEUED, cursor=first.next_cursor)
    assert ([record.id for record in rest.items], rest.next_cursor) == (queued[4:], None)
    assert [record.queue_position for record in first.items] == [6, 5, 4, 3]
    odd = store.page("local", state=EvaluationState.QUEUED, tag="odd")
    assert [record.id for record in odd.items] == [one for one in queued if ids.index(one) % 2]
    ended = store.page("local", state=EvaluationState.CANCELLED)
    assert [record.id for record in ended.items] == ids[2:5][::-1]
    assert store.page("local", state=EvaluationState.RUNNING).items == ()
