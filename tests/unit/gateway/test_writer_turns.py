"""On SQLite the writers of one gateway come one after the other, and none of them meets the file locked."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fresh_databases import sqlite_url
from sqlalchemy import event, func, select

from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.tally_tables import TallyRow
from gateway.infra.writer_turns import WriterTurns

WRITERS, TIMES = 8, 25


@pytest.fixture
def database(tmp_path):
    """Whoever meets the file locked is refused at once."""
    database = Database(sqlite_url(tmp_path))
    event.listen(
        database.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0")
    )
    yield database
    database.close()


def add(database, name):
    with database.write() as session:
        session.add(TallyRow(metric="m", labels=name, value=1.0))


def count(database):
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(TallyRow))


def test_none_of_many_writers_meets_the_file_locked(database):
    def write(writer):
        for time in range(TIMES):
            add(database, f"{writer} {time}")

    assert count(database) == 0  # opens the file, which the first one does alone
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    assert count(database) == WRITERS * TIMES


def test_a_writer_that_fails_or_cannot_begin_leaves_its_turn_to_the_next(database, tmp_path):
    with pytest.raises(ZeroDivisionError), database.write():
        raise ZeroDivisionError
    with closing(sqlite3.connect(tmp_path / "gateway.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable):
            add(database, "refused")
        other.execute("ROLLBACK")
    add(database, "accepted")
    assert count(database) == 1


def test_who_waits_in_vain_does_not_keep_the_turn_of_the_one_that_has_it():
    turns = WriterTurns()
    assert turns.take(1)
    assert not turns.take(0.01)
    turns.give_back()
    assert turns.take(1)
