"""The tables of fine-tuning jobs and of pairs that came with them. Files and adapters are the generator's."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime


class FineTuneRow(Base):
    """One job. Its id is that of its adapter, too, and of both at the generator."""

    __tablename__ = "fine_tunes"
    __table_args__ = (
        Index("ix_fine_tunes_tenant_id", "tenant", "id"),
        # A search asks once after a cycle, however often it is taken up again.
        UniqueConstraint("search_id", "after_cycle"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(200))
    parent_adapter: Mapped[str | None] = mapped_column(String(100), index=True)
    search_id: Mapped[str | None] = mapped_column(String(40))
    """Whose elites it learns from."""
    after_cycle: Mapped[int | None]
    """Set where the search itself asked, when this cycle had closed."""
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    phase: Mapped[str] = mapped_column(String(40), default="")
    chats: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    is_submitted: Mapped[bool] = mapped_column(default=False)
    """The generator has it."""
    is_lent: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Hosts of agents train it; the generator keeps the chats, and later the adapter."""
    weights_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of a lent job's model at the generator; None: it is not there."""
    is_settled: Mapped[bool] = mapped_column(default=False, index=True)
    """It has ended, here and at the generator."""
    events_seen: Mapped[int] = mapped_column(default=0)
    retries: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often it was, or is about to be, tried again at the generator."""
    retry_at: Mapped[datetime | None] = mapped_column(UtcTime)
    waiting_for: Mapped[str | None] = mapped_column(String(600))
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    has_adapter: Mapped[bool] = mapped_column(default=False)
    adapter_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """None until there is one, and of those that came before sizes were kept."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class FineTunePairRow(Base):
    """One pair of a job. `target_source` is what the caller's delta made of the baseline."""

    __tablename__ = "fine_tune_pairs"

    job_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    dataset: Mapped[str] = mapped_column(String(64))
    baseline_accuracy: Mapped[float | None] = mapped_column(Float)
    baseline_source: Mapped[str] = mapped_column(Text)
    target_source: Mapped[str] = mapped_column(Text)
