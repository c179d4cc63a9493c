"""The event log: what happened to an evaluation or a search, in order, for those who follow it.

Topics are `evaluation:<id>`, `search:<id>` and the like. Within a topic ids grow in the order in which events
become visible, so a follower who was cut off names the last one it saw. Across topics they need not.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from gateway.infra.database import TOPICS, Base, Database, UtcTime, before_commit, utc_now
from gateway.infra.webhook_outbox import announce

_LOCK_SPACE = 7_346_001
_LOCKS = 1024
"""PostgreSQL has room for a bounded number of locks; topics share these."""
_PENDING = "pending_events"


class EventRow(Base):
    """One event. Rows are never changed."""

    __tablename__ = "events"
    # AUTOINCREMENT: an id is never used twice, even after old events are deleted.
    __table_args__ = (Index("ix_events_topic_id", "topic", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    topic: Mapped[str] = mapped_column(String(80))
    type: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


@dataclass(frozen=True)
class Event:
    """One event as a follower sees it."""

    id: int
    type: str
    data: dict[str, Any]


def append_event(session: Session, topic: str, event_type: str, data: dict[str, Any]) -> None:
    """Log an event in the caller's transaction. Followers wake once it is on disk.

    It is written when the transaction ends, after all that the transaction locks: so nobody who waits for a
    topic holds what another one waits for. Webhooks that tell of it are part of the transaction.
    """
    announce(session, topic, event_type, data)
    if _PENDING not in session.info:
        session.info[_PENDING] = []
        before_commit(session, _write_pending)
    session.info[_PENDING].append(EventRow(topic=topic, type=event_type, data=data))
    signal_after_commit(session, topic)


def _write_pending(session: Session) -> None:
    rows: list[EventRow] = session.info.pop(_PENDING)
    session.flush()
    is_shared = session.get_bind().dialect.name == "postgresql"
    for row in rows:
        # As `now_in` has it, without asking for it first.
        row.created_at = func.clock_timestamp() if is_shared else utc_now()
    if is_shared:
        # Sequence values may become visible out of order; followers would then miss the smaller one.
        locks = sorted({zlib.crc32(row.topic.encode()) % _LOCKS for row in rows})
        session.execute(
            text("SELECT pg_advisory_xact_lock(:space, key) FROM unnest(CAST(:keys AS int[])) AS key"),
            {"space": _LOCK_SPACE, "keys": locks},
        )
    session.add_all(rows)
    session.flush()


def signal_after_commit(session: Session, topic: str) -> None:
    """Wake those who wait for `topic` once this transaction is on disk."""
    session.info.setdefault(TOPICS, set()).add(topic)


def events_after(session: Session, topic: str, last_id: int, limit: int = 500) -> list[Event]:
    """The events of a topic with an id above `last_id`, oldest first, at most `limit`."""
    rows = session.scalars(
        select(EventRow)
        .where(EventRow.topic == topic, EventRow.id > last_id)
        .order_by(EventRow.id)
        .limit(limit)
    )
    return [Event(row.id, row.type, row.data) for row in rows]


def newest_event_id(session: Session, topic: str) -> int:
    """The id of a topic's last event; 0 where there is none."""
    return session.scalar(select(func.max(EventRow.id)).where(EventRow.topic == topic)) or 0


def read_events(database: Database, topic: str, last_id: int) -> list[Event]:
    """`events_after` in a transaction of its own."""
    with database.read() as session:
        return events_after(session, topic, last_id)
