"""Tables of webhooks: who is told, what is still to be told, what became of it. Every row has its tenant."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime


class WebhookEndpointRow(Base):
    """A URL that a tenant has registered."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_tenant_id", "tenant", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(String(2000))
    description: Mapped[str] = mapped_column(String(200), default="")
    event_types: Mapped[list[str]] = mapped_column(JSON)
    """Which events it is told of; empty: all."""
    secrets: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """`SigningSecret`s, newest first. In the clear: a message cannot be signed with a digest."""
    enabled: Mapped[bool] = mapped_column(default=True)
    disabled_reason: Mapped[str | None] = mapped_column(String(20))
    """Set where the platform disabled it."""
    disabled_message: Mapped[str | None] = mapped_column(String(400))
    failing_since: Mapped[datetime | None] = mapped_column(UtcTime)
    """The first failed try after the last that was taken."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class WebhookCallbackRow(Base):
    """The `callback_url` of one evaluation, search or fine-tune, until that has ended."""

    __tablename__ = "webhook_callbacks"

    subject_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    url: Mapped[str] = mapped_column(String(2000))
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class WebhookCallbackSecretRow(Base):
    """What a tenant's callbacks are signed with."""

    __tablename__ = "webhook_callback_secrets"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    secrets: Mapped[list[dict[str, Any]]] = mapped_column(JSON)


class WebhookDeliveryRow(Base):
    """One message to one receiver: the outbox, and then the log."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_state_due", "state", "due_at"),
        Index("ix_webhook_deliveries_tenant_id", "tenant", "id"),
        Index("ix_webhook_deliveries_endpoint_state", "endpoint_id", "state"),
        Index("ix_webhook_deliveries_subject", "subject_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    endpoint_id: Mapped[str | None] = mapped_column(String(40))
    """None: a callback."""
    message_id: Mapped[str] = mapped_column(String(40))
    event_type: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[str | None] = mapped_column(String(40))
    url: Mapped[str] = mapped_column(String(2000))
    host: Mapped[str] = mapped_column(String(253))
    payload: Mapped[str] = mapped_column(Text, deferred=True)
    """Kept as text: every try sends the same bytes."""
    state: Mapped[str] = mapped_column(String(16))
    tries: Mapped[int] = mapped_column(default=0)
    """Since it was accepted, or last replayed."""
    log: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """The last tries, oldest first."""
    due_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When it is tried next; None once nobody tries any more."""
    lease: Mapped[str | None] = mapped_column(String(40))
    """Who is at it; a new one for every claim."""
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
