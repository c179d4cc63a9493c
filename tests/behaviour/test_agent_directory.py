"""What is known of agents on every database, however many of them say at once that they are there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from fakes import capabilities
from sqlalchemy import select, update

from contracts.dispatch import Resource
from contracts.jobs import AgentHeartbeat
from gateway.infra.agent_directory import (
    FORGOTTEN_AFTER,
    agents_at_the_broker,
    live_agents,
    record_heartbeat,
)
from gateway.infra.database import Database, now_in
from gateway.infra.tables import AgentRow

HOST = capabilities(slots=2)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def hear(database, agent_id, host=HOST, queue=""):
    with database.write() as session:
        record_heartbeat(session, agent_id, AgentHeartbeat(host, queue))


def test_the_last_word_of_an_agent_holds(database):
    hear(database, "a")
    hear(database, "a", replace(HOST, slots=7), Resource.CPU.value)
    with database.read() as session:
        assert live_agents(session)["a"].slots == 7
        assert agents_at_the_broker(session).keys() == {"a"}


def test_first_heartbeats_that_arrive_at_once_are_all_heard(database):
    voices, rounds = 4, 5
    for number in range(rounds):
        ready = Barrier(voices)

        def speak(name, ready=ready):
            with database.write() as session:
                session.scalar(select(AgentRow.id).where(AgentRow.id == name))
                if database.is_shared:  # with SQLite one writes at a time, so nobody else would come
                    ready.wait(60)
                record_heartbeat(session, name, AgentHeartbeat(HOST))

        with ThreadPoolExecutor(voices) as pool:
            list(pool.map(speak, [f"a{number}"] * voices))
    with database.read() as session:
        assert live_agents(session).keys() == {f"a{number}" for number in range(rounds)}


def test_an_agent_long_gone_is_forgotten_when_a_new_one_comes(database):
    hear(database, "old")
    hear(database, "known")
    with database.write() as session:
        long_ago = now_in(session) - FORGOTTEN_AFTER - timedelta(seconds=1)
        session.execute(update(AgentRow).where(AgentRow.id == "old").values(seen_at=long_ago))
    hear(database, "known")
    assert names(database) == {"old", "known"}
    hear(database, "new")
    assert names(database) == {"known", "new"}


def names(database):
    with database.read() as session:
        return set(session.scalars(select(AgentRow.id)))


def test_an_agent_heard_of_before_the_clock_was_set_back_lives_once_it_speaks_again(database):
    hear(database, "a")
    with database.write() as session:
        session.get_one(AgentRow, "a").seen_at += timedelta(hours=1)
        session.flush()
        assert live_agents(session) == {}
    hear(database, "a")
    with database.read() as session:
        assert live_agents(session).keys() == {"a"}
