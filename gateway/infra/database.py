"""Opens the one database and hands out its transactions; knows no table and no query.

SQLite by default, tuned so that an accepted request is on disk: WAL, `synchronous=FULL`, writers take
their lock at BEGIN and so never fail half-way with a stale snapshot. PostgreSQL by its URL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Engine, MetaData, TypeDecorator, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import DeclarativeBase, Session

from gateway.infra.signals import Signals

BUSY_TIMEOUT_MS = 15_000
TOPICS = "topics"
"""Key in `Session.info`: topics to signal once the transaction is on disk."""


class StorageUnavailable(Exception):
    """The database cannot be read or written now: disk full, file read-only, locked, or server away."""


class UtcTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC; SQLite keeps it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; without its zone where the database has none."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Back to an aware moment."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Declarative base of every table. The naming convention lets migrations name constraints."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Database:
    """Transactions on one database. Thread-safe; a session belongs to the thread that opened it."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's, such as `sqlite:////abs/gateway.sqlite3` or `postgresql+psycopg://…`."""
        self.signals = Signals()
        self.engine = _open_engine(url)
        self._writing = self.engine.execution_options(deltanas_writes=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """For looking: one consistent snapshot on SQLite. What is changed in it is not kept.

        Raises StorageUnavailable, as `write` does.
        """
        with _naming_trouble(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: on disk when the block ends, undone when it raises. Then wakes those who wait."""
        with _naming_trouble(), Session(self._writing, expire_on_commit=False) as session:
            with session.begin():
                yield session
            topics = session.info.get(TOPICS, ())
        self.signals.publish(topics)

    def close(self) -> None:
        """Close the pool; sessions still open fail."""
        self.engine.dispose()


@contextmanager
def _naming_trouble() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise StorageUnavailable(str(error.orig)) from error
    except NoConnection as error:
        raise StorageUnavailable("all connections are busy") from error


def utc_now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)


def _open_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=20)
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling would start writers as readers: BEGIN is ours (below).
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("deltanas_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
