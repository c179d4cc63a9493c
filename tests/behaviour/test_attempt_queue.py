"""What the queue of attempts promises on every database, whoever races with whom."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from fakes import outcome
from sqlalchemy import text, update
from sqlalchemy.exc import InternalError

from contracts.failures import Failure, FailureReason
from contracts.names import EvaluationState
from gateway.domain.evaluation import EvaluationRequest
from gateway.infra.attempt_queue import AttemptNotClaimable, AttemptQueue, LeaseLost
from gateway.infra.database import Database, StorageUnavailable, now_in
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import read_events
from gateway.infra.metrics import time_transactions
from gateway.infra.tables import AttemptRow

LEASE = 60.0


class Gateway:
    """As much of one as hands out attempts."""

    def __init__(self, url: str, connections: int = 20) -> None:
        self.database = Database(url, connections)
        self.store = EvaluationStore(self.database)
        self.queue = AttemptQueue(self.database, LEASE)

    def submit(self, seeds=(0,)) -> str:
        request = EvaluationRequest(source="class Net: ...", dataset="digits", seeds=seeds, reuse=False)
        with self.database.write() as session:
            return self.store.submit(session, request)

    def attempts(self, evaluation_id: str) -> list[str]:
        return [attempt.id for attempt in self.store.read(evaluation_id).attempts]

    def finished(self, evaluation_id: str) -> list[dict]:
        events = read_events(self.database, f"evaluation:{evaluation_id}", 0)
        return [event.data for event in events if event.type == "finished"]


@pytest.fixture
def gateways(database_url):
    """Two on one PostgreSQL; with SQLite there is one, which two threads use."""
    one = Gateway(database_url)
    opened = [one, one if database_url.startswith("sqlite") else Gateway(database_url)]
    yield opened
    for gateway in opened:
        gateway.database.close()


def together(*acts):
    """Run all at once; gives what each gave or raised."""
    barrier = threading.Barrier(len(acts))

    def run(act):
        barrier.wait()
        try:
            return act()
        except (StorageUnavailable, AttemptNotClaimable, LeaseLost) as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def let_leases_expire(gateway, by=timedelta(seconds=1)):
    with gateway.database.write() as session:
        session.execute(
            update(AttemptRow)
            .where(AttemptRow.state == "leased")
            .values(lease_expires_at=now_in(session) - by)
        )
        session.execute(
            update(AttemptRow).where(AttemptRow.state == "queued").values(available_at=now_in(session))
        )


def test_an_attempt_that_many_agents_claim_at_once_is_one_agents(gateways):
    for _ in range(5):
        (attempt,) = gateways[0].attempts(gateways[0].submit())
        claims = [partial(gateways[n % 2].queue.claim, attempt, f"agent-{n}") for n in range(6)]
        found = together(*claims)
        refused = [isinstance(claim, AttemptNotClaimable) for claim in found]
        assert sorted(refused) == [False] + [True] * 5, found


def test_a_claim_is_granted_again_to_who_repeats_it_with_its_key_and_to_nobody_else(gateways):
    one, other = gateways
    evaluation = one.submit()
    (attempt,) = one.attempts(evaluation)
    key = "k" * 32
    claims = together(*[partial(gateways[n % 2].queue.claim, attempt, "agent", key) for n in range(4)])
    assert len({(claim.token, claim.spec.fence) for claim in claims}) == 1
    assert other.queue.has_claimed(attempt, "agent", key)
    for agent, wrong_key in (("agent", "x" * 32), ("agent", ""), ("another", key)):
        assert not other.queue.has_claimed(attempt, agent, wrong_key)
        with pytest.raises(AttemptNotClaimable):
            other.queue.claim(attempt, agent, wrong_key)
    assert one.attempts(evaluation) == [attempt]
    one.queue.report(attempt, claims[0].token, outcome(claims[0].spec))
    with pytest.raises(AttemptNotClaimable):
        one.queue.claim(attempt, "agent", key)


def test_a_report_and_a_cancellation_at_once_leave_one_end(gateways):
    one, other = gateways
    ends = set()
    for _ in range(8):
        evaluation = one.submit()
        claimed = one.queue.claim(one.attempts(evaluation)[0], "agent")

        def cancel(evaluation=evaluation):
            with other.database.write() as session:
                return other.store.cancel(session, evaluation)

        report = partial(one.queue.report, claimed.spec.attempt_id, claimed.token, outcome(claimed.spec))
        reported, cancelled = together(report, cancel)
        (finished,) = one.finished(evaluation)
        state = one.store.read(evaluation).state
        ends.add(state)
        assert finished["state"] == state == cancelled
        assert isinstance(reported, LeaseLost) is (state is EvaluationState.CANCELLED)
    assert ends <= {EvaluationState.CANCELLED, EvaluationState.SUCCEEDED}


def test_two_sweepers_and_a_late_report_count_a_loss_once(gateways):
    one, other = gateways
    evaluation = one.submit()
    claimed = one.queue.claim(one.attempts(evaluation)[0], "agent")
    let_leases_expire(one)
    told = outcome(claimed.spec)
    *swept, reported = together(
        one.queue.sweep,
        other.queue.sweep,
        lambda: other.queue.report(claimed.spec.attempt_id, claimed.token, told),
    )
    record = one.store.read(evaluation)
    if reported is None:
        assert sum(swept) == 0
        assert record.state is EvaluationState.SUCCEEDED
        assert len(record.attempts) == 1
    else:
        assert isinstance(reported, LeaseLost)
        assert sum(swept) == 1
        assert [attempt.state for attempt in record.attempts] == ["lost", "queued"]
        assert [attempt.fence for attempt in record.attempts] == [1, 2]


def test_after_three_losses_an_evaluation_ends_once_and_nobody_is_blamed(gateways):
    one, other = gateways
    evaluation = one.submit()
    for _ in range(3):
        one.queue.claim(one.attempts(evaluation)[-1], "agent")
        let_leases_expire(one)
        together(one.queue.sweep, other.queue.sweep)
        let_leases_expire(one)
    record = one.store.read(evaluation)
    assert (record.state, record.failure.reason) == (EvaluationState.FAILED, FailureReason.INFRASTRUCTURE)
    assert [attempt.state for attempt in record.attempts] == ["lost"] * 3
    assert len(one.finished(evaluation)) == 1


def test_many_agents_at_two_gateways_finish_everything_once(gateways):
    evaluations = [gateways[n % 2].submit(seeds=(0, 1)) for n in range(10)]
    waiting = [attempt for evaluation in evaluations for attempt in gateways[0].attempts(evaluation)]

    def work(number):
        gateway = gateways[number % 2]
        done = 0
        for attempt in waiting[number:] + waiting[:number]:
            with suppress(AttemptNotClaimable):
                claimed = gateway.queue.claim(attempt, f"agent-{number}")
                gateway.queue.heartbeat(attempt, claimed.token, "train")
                gateway.queue.report(attempt, claimed.token, outcome(claimed.spec))
                done += 1
        return done

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == len(waiting)
    for evaluation in evaluations:
        assert gateways[0].store.read(evaluation).state is EvaluationState.SUCCEEDED
        assert len(gateways[0].finished(evaluation)) == 1


def test_what_a_candidate_prints_is_kept_whatever_it_is(gateways):
    one, _ = gateways
    evaluation = one.submit()
    claimed = one.queue.claim(one.attempts(evaluation)[0], "agent")
    hostile = "before\x00after \ud800 \U0001f600 \u202e end"
    failure = Failure(FailureReason.TRAIN_ERROR, f"ValueError: {hostile}", location=hostile[:20])
    told = replace(outcome(claimed.spec), measurement=None, failure=failure, log=hostile, flags=(hostile,))
    one.queue.report(claimed.spec.attempt_id, claimed.token, told)
    record = one.store.read(evaluation)
    assert record.state is EvaluationState.FAILED
    assert record.failure.reason is FailureReason.TRAIN_ERROR
    ((_, _, log),) = one.store.logs(evaluation)
    assert log.startswith("before")
    assert log.endswith("end")


def test_a_name_that_no_database_could_hold_is_nobodys(gateways):
    with suppress(AttemptNotClaimable):
        pytest.fail(gateways[0].queue.claim("at_\x00", "agent"))
    with pytest.raises(LeaseLost):
        gateways[0].queue.heartbeat("at_" + "x" * 10_000, "token", "train")


# --- PostgreSQL alone: SQLite has one writer, one clock, and no server ---------------------------


@pytest.fixture
def server_gateway(postgres_url):
    gateway = Gateway(postgres_url, connections=4)
    yield gateway
    gateway.database.close()


def test_a_deadlock_is_one_transactions_loss_which_is_made_good(server_gateway):
    database = server_gateway.database
    names = [server_gateway.submit(), server_gateway.submit()]
    both_hold_one = threading.Barrier(2)
    tries = []

    def cancel(order):
        def act(session):
            tries.append(order)
            for name in names[::order]:
                server_gateway.store.cancel(session, name)
                with suppress(threading.BrokenBarrierError):
                    both_hold_one.wait(timeout=2)

        database.change(act)

    assert together(lambda: cancel(1), lambda: cancel(-1)) == [None, None]
    assert len(tries) > 2, "they did not meet"
    for name in names:
        assert server_gateway.store.read(name).state is EvaluationState.CANCELLED
        assert len(server_gateway.finished(name)) == 1


def test_who_waits_for_a_lock_too_long_hears_of_it(server_gateway):
    evaluation = server_gateway.submit()

    def cancel_impatiently():
        with server_gateway.database.write() as session:
            session.execute(text("SET LOCAL lock_timeout = 100"))
            server_gateway.store.cancel(session, evaluation)

    with server_gateway.database.write() as session:
        server_gateway.store.cancel(session, evaluation)
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            cancel_impatiently()
    assert server_gateway.store.read(evaluation).state is EvaluationState.CANCELLED


def test_a_writer_that_stands_still_is_cut_off_and_frees_what_it_held(server_gateway):
    evaluation = server_gateway.submit()

    def cancel_and_stand_still():
        with server_gateway.database.write() as session:
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 200"))
            server_gateway.store.cancel(session, evaluation)
            time.sleep(1)

    with pytest.raises(StorageUnavailable):
        cancel_and_stand_still()
    assert server_gateway.store.read(evaluation).state is EvaluationState.QUEUED
    server_gateway.queue.claim(server_gateway.attempts(evaluation)[0], "agent")


def test_a_connection_that_the_server_ended_is_told_as_such_where_transactions_are_timed(server_gateway):
    database = server_gateway.database
    time_transactions(database.engine, lambda _kind, _seconds: None)
    with pytest.raises(StorageUnavailable), database.write() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    server_gateway.submit()


def test_when_all_connections_are_busy_one_is_told_so_and_then_served(server_gateway, monkeypatch):
    engine = server_gateway.database.engine
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)
    held = [engine.connect() for _ in range(4)]
    with pytest.raises(StorageUnavailable, match="busy"):
        server_gateway.submit()
    for connection in held:
        connection.close()
    assert server_gateway.submit()


def test_who_only_looks_cannot_write(server_gateway):
    evaluation = server_gateway.submit()
    with server_gateway.database.read() as session, pytest.raises(InternalError, match="read-only"):
        session.execute(update(AttemptRow).values(phase="changed"))
    assert server_gateway.store.read(evaluation).attempts[0].phase is None


def test_who_looks_sees_one_moment(server_gateway):
    first = server_gateway.submit()
    with server_gateway.database.read() as session:
        before = server_gateway.store.read_in(session, first)
        server_gateway.queue.claim(server_gateway.attempts(first)[0], "agent")
        assert server_gateway.store.read_in(session, first) == before
    assert server_gateway.store.read(first).state is EvaluationState.RUNNING


def test_connections_that_the_server_ended_are_replaced(server_gateway):
    evaluation = server_gateway.submit()
    everybody_else = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def cancel_without_server():
        with server_gateway.database.write() as session:
            server_gateway.store.cancel(session, evaluation)
            with server_gateway.database.read() as other:
                other.execute(everybody_else)
            session.flush()
            session.execute(text("SELECT 1"))

    with pytest.raises(StorageUnavailable):
        cancel_without_server()
    assert server_gateway.store.read(evaluation).state is EvaluationState.QUEUED
