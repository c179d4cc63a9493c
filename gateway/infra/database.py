"""Hands out the transactions of the one database; knows no table and no query. `engines` opens it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import DateTime, Dialect, MetaData, TypeDecorator, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import DeclarativeBase, Session

from gateway.infra.engines import is_conflict, is_trouble, open_engine, readers_of, writers_of
from gateway.infra.signals import Signals
from gateway.infra.writer_turns import WriterTurns

TOPICS = "topics"
"""Key in `Session.info`: topics to signal once the transaction is on disk."""
LAST_ACTS = "last_acts"
"""Key in `Session.info`: what is to be done right before the transaction ends."""
CONNECTIONS = 20
CONFLICT_TRIES = 5
"""A transaction that the database undoes for another's sake is tried so often."""

T = TypeVar("T")
Act = Callable[[Session], object]

_condition: ContextVar[Act | None] = ContextVar("condition", default=None)


class StorageUnavailable(Exception):
    """The database cannot be read or written now: disk full, file read-only, locked, or server away."""

    def __init__(self, reason: str, *, conflict: bool = False) -> None:
        """`conflict`: only this transaction was undone, for another's sake; the next try may succeed."""
        super().__init__(reason)
        self.conflict = conflict


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

    def __init__(self, url: str, connections: int = CONNECTIONS) -> None:
        """`url` is SQLAlchemy's, such as `sqlite:////abs/gateway.sqlite3` or `postgresql+psycopg://…`.

        `connections`: to a server, at most at a time; who finds none free waits for one.
        """
        self.signals = Signals()
        self._turns = WriterTurns()
        self.engine = open_engine(url, connections, self._turns)
        self._reading = readers_of(self.engine)
        self._writing = writers_of(self.engine)

    @property
    def is_shared(self) -> bool:
        """Whether other gateways may work on it, too."""
        return self.engine.dialect.name != "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """For looking: one consistent snapshot. What is changed in it is not kept.

        Raises StorageUnavailable, as `write` does.
        """
        with _naming_trouble(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: on disk when the block ends, undone when it raises. Then wakes those who wait."""
        try:
            with _naming_trouble(), Session(self._writing, expire_on_commit=False) as session:
                with session.begin():
                    yield session
                    for act in session.info.get(LAST_ACTS, ()):
                        act(session)
                    if (condition := _condition.get()) is not None:
                        condition(session)
                topics = session.info.get(TOPICS, ())
        finally:
            self._turns.give_back()
        self.signals.announce(topics)

    def change(self, act: Callable[[Session], T]) -> T:
        """`write` around `act`, which is called again when the database undid it for another's sake."""
        for _ in range(CONFLICT_TRIES - 1):
            try:
                with self.write() as session:
                    return act(session)
            except StorageUnavailable as error:
                if not error.conflict:
                    raise
        with self.write() as session:
            return act(session)

    def close(self) -> None:
        """Close the pool; sessions still open fail."""
        self.engine.dispose()


@contextmanager
def only_if(condition: Act) -> Iterator[None]:
    """Every transaction of this thread calls `condition` last meanwhile, and is undone where that raises."""
    token = _condition.set(condition)
    try:
        yield
    finally:
        _condition.reset(token)


def before_commit(session: Session, act: Act) -> None:
    """Have `act` called right before the transaction ends, after everything that it changes itself."""
    session.info.setdefault(LAST_ACTS, []).append(act)


def now_in(session: Session) -> datetime:
    """This moment, aware, in UTC, by the one clock that all gateways share: that of the database's host."""
    if session.get_bind().dialect.name == "sqlite":
        return utc_now()
    return session.scalars(select(func.clock_timestamp())).one().astimezone(UTC)


def utc_now() -> datetime:
    """This moment by the clock of this host, aware, in UTC."""
    return datetime.now(UTC)


@contextmanager
def _naming_trouble() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if not is_trouble(error):
            raise
        raise StorageUnavailable(str(error.orig), conflict=is_conflict(error)) from error
    except NoConnection as error:
        raise StorageUnavailable("all connections are busy") from error
