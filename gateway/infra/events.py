"""The event log: what happened to an evaluation or a search, in order, for those who follow it.

Topics are `evaluation:<id>` and `search:<id>`. Ids grow, so a follower who was cut off names the last
one it saw.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from gateway.infra.database import TOPICS, Base, Database, UtcTime, utc_now

_POSTGRES_EVENT_LOCK = 7_346_001


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


def append_event(session: Session, topic: str, event_type: str, data: dict[str, Any]) -> int:
    """Log an event in the caller's transaction and give its id. Followers wake once it is on disk."""
    if session.get_bind().dialect.name == "postgresql":
        # Sequence values may become visible out of order; followers would then miss the smaller one.
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_EVENT_LOCK})
    row = EventRow(topic=topic, type=event_type, data=data, created_at=utc_now())
    session.add(row)
    session.flush()
    signal_after_commit(session, topic)
    return row.id


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


def read_events(database: Database, topic: str, last_id: int) -> list[Event]:
    """`events_after` in a transaction of its own."""
    with database.read() as session:
        return events_after(session, topic, last_id)
