"""The table of leases under which outside agents hold slots. The slots themselves are in `search_tables`."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime


class AskLeaseRow(Base):
    """One task given to an agent. Rows stay: they say which answer a task was told with."""

    __tablename__ = "ask_leases"
    __table_args__ = (Index("ix_ask_leases_search_id_proposal_id", "search_id", "proposal_id"),)

    task_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    proposal_id: Mapped[str] = mapped_column(String(60))
    agent: Mapped[str] = mapped_column(String(64))
    lease_seconds: Mapped[float]
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    told_at: Mapped[datetime | None] = mapped_column(UtcTime)
    told_digest: Mapped[str | None] = mapped_column(String(64))
