"""Tables of evaluations, attempts, agents and idempotency. Searches and tenants have theirs elsewhere.

Results are JSON columns: they are read and written whole, and their shapes are the contracts'.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from gateway.infra.database import Base, UtcTime

Document = dict[str, Any]


class EvaluationRow(Base):
    """One request to measure one candidate."""

    __tablename__ = "evaluations"
    __table_args__ = (
        Index("ix_evaluations_tenant_id", "tenant", "id"),
        Index("ix_evaluations_tenant_reuse", "tenant", "reuse_key", "state"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    origin_key: Mapped[str | None] = mapped_column(String(160), unique=True)
    search_id: Mapped[str | None] = mapped_column(String(40), index=True)
    kind: Mapped[str] = mapped_column(String(16), server_default="evaluate")
    state: Mapped[str] = mapped_column(String(16), index=True)
    candidate_id: Mapped[str] = mapped_column(String(64), index=True)
    source: Mapped[str] = mapped_column(Text, deferred=True)
    request: Mapped[Document] = mapped_column(JSON)
    dataset: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(16))
    tier_strength: Mapped[int]
    gpu_memory_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    threads: Mapped[int] = mapped_column(server_default="1")
    priority: Mapped[int]
    scored_on: Mapped[str] = mapped_column(String(16))
    split_key: Mapped[str] = mapped_column(String(64))
    reuse_key: Mapped[str] = mapped_column(String(64))
    reused_from: Mapped[str | None] = mapped_column(String(40))
    measurement: Mapped[Document | None] = mapped_column(JSON)
    smoke: Mapped[Document | None] = mapped_column(JSON)
    trace: Mapped[Document | None] = mapped_column(JSON)
    graph: Mapped[str | None] = mapped_column(Text, deferred=True)
    failure: Mapped[Document | None] = mapped_column(JSON)
    isolation: Mapped[Document | None] = mapped_column(JSON)
    provenance: Mapped[Document | None] = mapped_column(JSON)
    flags: Mapped[list[str]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)

    attempts: Mapped[list["AttemptRow"]] = relationship(
        order_by="AttemptRow.fence", back_populates="evaluation"
    )
    tags: Mapped[list["EvaluationTagRow"]] = relationship(order_by="EvaluationTagRow.tag")


class EvaluationTagRow(Base):
    """One tag of one evaluation."""

    __tablename__ = "evaluation_tags"
    __table_args__ = (Index("ix_evaluation_tags_tag", "tag", "evaluation_id"),)

    evaluation_id: Mapped[str] = mapped_column(
        ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(String(64), primary_key=True)


class AttemptRow(Base):
    """One run in one sandbox. `fence` grows within its evaluation."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("evaluation_id", "fence"),
        Index("ix_attempts_state_lease", "state", "lease_expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evaluations.id", ondelete="CASCADE"))
    fence: Mapped[int]
    seed: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    shuffle_key: Mapped[str] = mapped_column(String(64))
    agent_id: Mapped[str | None] = mapped_column(String(80), index=True)
    token_sha256: Mapped[str | None] = mapped_column(String(64))
    available_at: Mapped[datetime] = mapped_column(UtcTime)
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    phase: Mapped[str | None] = mapped_column(String(40))
    measurement: Mapped[Document | None] = mapped_column(JSON)
    smoke: Mapped[Document | None] = mapped_column(JSON)
    trace: Mapped[Document | None] = mapped_column(JSON)
    graph: Mapped[str | None] = mapped_column(Text, deferred=True)
    failure: Mapped[Document | None] = mapped_column(JSON)
    isolation: Mapped[Document | None] = mapped_column(JSON)
    provenance: Mapped[Document | None] = mapped_column(JSON)
    flags: Mapped[list[str]] = mapped_column(JSON, default=list)
    log: Mapped[str] = mapped_column(Text, default="", deferred=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)

    evaluation: Mapped[EvaluationRow] = relationship(back_populates="attempts")


class AgentRow(Base):
    """The last heartbeat of an agent."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    capabilities: Mapped[Document] = mapped_column(JSON)
    queue: Mapped[str] = mapped_column(String(64), server_default="")
    seen_at: Mapped[datetime] = mapped_column(UtcTime)


class IdempotencyRow(Base):
    """The answer to a request that carried an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    route: Mapped[str] = mapped_column(String(80), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    answer: Mapped[Document] = mapped_column(JSON)
    expires_at: Mapped[datetime] = mapped_column(UtcTime, index=True)


class JournalledKeyRow(Base):
    """A secret drawn once and kept, such as the key of a split."""

    __tablename__ = "journalled_keys"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[str] = mapped_column(String(64))
