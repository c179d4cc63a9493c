"""The tables of attempts at long fine-tunes, and of the agents whose hosts train them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime


class FineTuneAttemptRow(Base):
    """One run of one host at a job. `fence` grows within its job."""

    __tablename__ = "fine_tune_attempts"
    __table_args__ = (
        UniqueConstraint("job_id", "fence"),
        Index("ix_fine_tune_attempts_state_lease", "state", "lease_expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tunes.id", ondelete="CASCADE"))
    fence: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    agent_id: Mapped[str | None] = mapped_column(String(80))
    token_sha256: Mapped[str | None] = mapped_column(String(64))
    available_at: Mapped[datetime] = mapped_column(UtcTime)
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    queue: Mapped[str] = mapped_column(String(120), server_default="")
    """Where it was published, or the own queue of the agent that it was offered to."""
    promised_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """Till then nobody else is told of it."""
    has_begun: Mapped[bool] = mapped_column(default=False)
    """Its host has told how the job stands there."""
    is_delivered: Mapped[bool] = mapped_column(default=False)
    """Its adapter is with the generator that proposes."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    gpus: Mapped[int] = mapped_column(server_default="0")
    """Of the host that claimed it, when it did."""
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class TrainingAgentRow(Base):
    """The last heartbeat of an agent whose host trains."""

    __tablename__ = "training_agents"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    host: Mapped[dict[str, Any]] = mapped_column(JSON)
    seen_at: Mapped[datetime] = mapped_column(UtcTime)
