"""What one gateway commits wakes those who wait at another, also after the connection between them broke."""

import time
from contextlib import contextmanager

import pytest
from sqlalchemy import make_url

from gateway.infra.database import Database
from gateway.infra.events import append_event, signal_after_commit
from gateway.infra.shared_signals import CHANNEL, SharedSignals

LONG = 60


@contextmanager
def gateway(url):
    database = Database(url)
    signals = SharedSignals(database)
    signals.start()
    try:
        yield database
    finally:
        signals.stop()
        database.close()


@pytest.fixture
def gateways(postgres, postgres_url):
    with gateway(postgres_url) as one, gateway(postgres_url) as other:
        wait_until_both_listen(postgres, postgres_url)
        yield one, other


def wait_until_both_listen(postgres, url):
    name = make_url(url).database
    listening = (
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE 'LISTEN {CHANNEL}%'"
    )
    give_up = time.monotonic() + LONG
    while postgres.execute(listening) != [(2,)]:
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_commit_here_wakes_who_waits_there(gateways):
    one, other = gateways
    with other.signals.in_thread("evaluation:1") as bell, other.signals.in_thread("evaluation:2") as silent:
        with one.write() as session:
            append_event(session, "evaluation:1", "noted", {})
        assert bell.wait(LONG)
        assert not silent.is_set()


def test_what_was_not_committed_wakes_nobody(gateways):
    one, other = gateways

    def fails_half_way():
        with one.write() as session:
            signal_after_commit(session, "undone")
            raise RuntimeError

    with other.signals.in_thread("undone") as silent, other.signals.in_thread("done") as bell:
        with pytest.raises(RuntimeError):
            fails_half_way()
        with one.write() as session:
            signal_after_commit(session, "done")
        assert bell.wait(LONG)
        assert not silent.is_set()


def test_a_batch_of_many_topics_wakes_who_waits_for_the_last(gateways):
    one, other = gateways
    topics = [f"evaluation:{number:060}" for number in range(1000)]
    with other.signals.in_thread(topics[0]) as first, other.signals.in_thread(topics[-1]) as last:
        with one.write() as session:
            for topic in topics:
                signal_after_commit(session, topic)
        assert first.wait(LONG)
        assert last.wait(LONG)


def test_after_the_connection_broke_everybody_looks_again_and_hears_on(postgres, gateways):
    one, other = gateways
    with other.signals.in_thread("search:1") as bell:
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE (query LIKE 'LISTEN {CHANNEL}%' OR query LIKE '%pg_notify%') AND pid <> pg_backend_pid()"
        )
        assert bell.wait(LONG)
        give_up = time.monotonic() + LONG
        bell.clear()
        while not bell.wait(0.5):
            assert time.monotonic() < give_up
            with one.write() as session:
                signal_after_commit(session, "search:1")
