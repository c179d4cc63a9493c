"""Tables of tenants: their keys, quotas, shares of the farm, data sets, and what was done with keys.

A tenant is a name: it is there as soon as a key or a quota bears it, and `local` is there always.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, String, false, text, true
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime
from gateway.infra.tables import EvaluationRow

IS_OPEN = text("state IN ('queued', 'running')")
"""Word for word the condition of the index below: a database uses that only where it can see it hold."""

OPEN_EVALUATIONS = Index(
    "ix_evaluations_open",
    EvaluationRow.tenant,
    EvaluationRow.priority.desc(),
    EvaluationRow.id,
    EvaluationRow.device,
    EvaluationRow.tier_strength,
    EvaluationRow.gpu_memory_bytes,
    EvaluationRow.threads,
    EvaluationRow.dataset,
    EvaluationRow.state,
    sqlite_where=IS_OPEN,
    postgresql_where=IS_OPEN,
)
"""The queue of each tenant in its order, with all that says which host suits: no row of it needs reading."""


class ApiKeyRow(Base):
    """An API key: of the key itself only its digest and its first characters are here."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    label: Mapped[str] = mapped_column(String(120), default="")
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(16), default="")
    scopes: Mapped[str] = mapped_column(String(120), default="")
    """Words with a space between them."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    replaced_by: Mapped[str | None] = mapped_column(String(40))
    """The key that it was rotated to."""
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class TenantQuotaRow(Base):
    """What one tenant may use, where that is not the farm's default; and how much it has stored."""

    __tablename__ = "tenant_quotas"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    weight: Mapped[float | None]
    queued: Mapped[int | None]
    running: Mapped[int | None]
    gpu_seconds_per_day: Mapped[int | None] = mapped_column(BigInteger)
    storage_bytes: Mapped[int | None] = mapped_column(BigInteger)
    searches: Mapped[int | None]
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    measured_at: Mapped[datetime | None] = mapped_column(UtcTime)


class TenantShareRow(Base):
    """How far a tenant's virtual time has come in one pool of slots (`gateway.domain.fair_shares`)."""

    __tablename__ = "tenant_shares"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(16), primary_key=True)
    virtual_seconds: Mapped[float]
    started_at_virtual: Mapped[float]
    """The virtual time at which its latest attempt was given out; the largest of all is the pool's."""
    usual_seconds: Mapped[float]
    """What an attempt of this tenant has taken of late."""


class AttemptOfferRow(Base):
    """An attempt that is given out: kept from others until a moment, and charged until it has ended."""

    __tablename__ = "attempt_offers"

    attempt_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    pool: Mapped[str] = mapped_column(String(16))
    charged_seconds: Mapped[float]
    offered_until: Mapped[datetime] = mapped_column(UtcTime)
    agent_id: Mapped[str | None] = mapped_column(String(80))
    """Who asked for it; None of what is published instead."""
    slots: Mapped[int] = mapped_column(default=1, server_default="1")
    """How many it takes."""
    is_kept: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The agent has not slots enough free yet, and keeps for it what becomes free."""
    is_contended: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Other tenants waited for such slots when it was charged."""


class TenantUsageRow(Base):
    """How long a tenant has held slots of a pool on one day, in UTC. It outlives what was run."""

    __tablename__ = "tenant_usage"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(16), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    slot_seconds: Mapped[float]


class AuditRow(Base):
    """One use of a key that changed something, or was meant to. Rows are never changed."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_tenant_id", "tenant", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    tenant: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(40))
    """A key's id, or `local` for the machine's own operator."""
    action: Mapped[str] = mapped_column(String(120))
    """Method and route, such as `POST /v1/searches/{search_id}:cancel`."""
    target: Mapped[str] = mapped_column(String(200))
    """The path that was called, or that of what was created."""
    status: Mapped[int]
    request_id: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))


class DatasetOwnerRow(Base):
    """Whose a data set is. One without a row is there for everybody."""

    __tablename__ = "dataset_owners"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
