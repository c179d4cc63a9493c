"""The table of what was published to the broker: the outbox of the dispatch."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime


class PublicationRow(Base):
    """One attempt that waits in the broker, or is about to. Written before the message is sent."""

    __tablename__ = "attempt_publications"

    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True)
    queue: Mapped[str] = mapped_column(String(120))
    made_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    sent_at: Mapped[datetime | None] = mapped_column(UtcTime)
