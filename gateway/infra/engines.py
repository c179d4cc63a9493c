"""Opens SQLAlchemy's engine for a URL, tuned so that accepted means on disk, and says what its errors mean.

SQLite: WAL, `synchronous=FULL`; writers take their lock at BEGIN, each in its turn, and never fail half-way
with a stale snapshot. PostgreSQL: readers see one snapshot (REPEATABLE READ, READ ONLY), which never fails;
writers run under READ COMMITTED and lock the rows that they decide by, so that of two changes the second sees
the first.
Nobody waits for ever: not for a lock or a statement, nor for a gateway that stopped within a transaction.
"""

import os
import platform
import sqlite3
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from gateway.infra.writer_turns import WriterTurns

BUSY_TIMEOUT_MS = 15_000
"""How long a writer waits for another one's lock."""
STATEMENT_TIMEOUT_MS = 60_000
PAUSED_WRITER_TIMEOUT_MS = 10_000
"""The server ends a writing transaction that says nothing for so long, and so frees what it has locked."""
PAUSED_READER_TIMEOUT_MS = 600_000
CONNECT_TIMEOUT_SECONDS = 10
POOL_TIMEOUT_SECONDS = 15
WRITES = "deltanas_writes"
"""The execution option that marks a writer's connection."""

NETWORK: dict[str, Any] = {
    # Of a host that has vanished nobody hears: without these a statement would wait for a quarter of an hour.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_CONFLICTS = frozenset({"40001", "40P01"})
"""SQLSTATE of transactions that were undone for another's sake: serialization failure, deadlock."""
_AWAY = frozenset({"25P03", "25006", "25P04"})
"""The server ended an idle transaction or one that took too long, or it is a standby that only reads."""


def open_engine(url: str, connections: int, turns: WriterTurns) -> Engine:
    """The engine of a SQLAlchemy URL, with at most so many connections to a server.

    A writer of SQLite has its turn once its transaction has begun; whoever ends that gives the turn back.
    """
    if url.startswith("sqlite"):
        engine = create_engine(
            url, connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite_with(turns))
        return engine
    settings = {
        "lock_timeout": BUSY_TIMEOUT_MS,
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": PAUSED_READER_TIMEOUT_MS,
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        connect_args={
            "application_name": f"deltanas {platform.node()[:40]} {os.getpid()}",
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "options": options,
            **NETWORK,
        },
    )
    event.listen(engine, "connect", _configure_postgres)
    event.listen(engine, "begin", _begin_postgres)
    return engine


def readers_of(engine: Engine) -> Engine:
    """The same engine, for those who only look."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writers_of(engine: Engine) -> Engine:
    """The same engine, for those who change something."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{WRITES: True})
    return engine.execution_options(isolation_level="READ COMMITTED", **{WRITES: True})


def is_conflict(error: DBAPIError) -> bool:
    """Whether a transaction was undone for another's sake, and may be tried again at once."""
    return getattr(error.orig, "sqlstate", None) in _CONFLICTS


def is_trouble(error: DBAPIError) -> bool:
    """Whether the database is what failed, and not what was asked of it."""
    state = getattr(error.orig, "sqlstate", None)
    return (
        isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated or state in _AWAY
    )


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling would start writers as readers: BEGIN is ours (below).
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        # What a tenant has deleted is not left in the file.
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite_with(turns: WriterTurns) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(WRITES, False):
            connection.exec_driver_sql("BEGIN")
            return
        if not turns.take(BUSY_TIMEOUT_MS / 1000):
            locked = sqlite3.OperationalError("database is locked")
            raise OperationalError("BEGIN IMMEDIATE", None, locked)
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return begin


def _configure_postgres(connection: Any, _record: Any) -> None:
    # The driver is needed on PostgreSQL alone.
    from psycopg.adapt import Dumper

    class StorableText(Dumper):
        """Text as PostgreSQL takes it: what has no place in it is replaced, wherever it comes from."""

        def dump(self, obj: str) -> bytes:
            return obj.replace("\x00", "\ufffd").encode("utf-8", "replace")

    connection.adapters.register_dumper(str, StorableText)


def _begin_postgres(connection: Connection) -> None:
    if connection.get_execution_options().get(WRITES, False):
        connection.exec_driver_sql(
            f"SET LOCAL idle_in_transaction_session_timeout = {PAUSED_WRITER_TIMEOUT_MS}"
        )
