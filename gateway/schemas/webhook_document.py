"""Endpoints and deliveries as the world sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.domain.webhooks import DeliveryState, DisabledReason
from gateway.infra.webhook_endpoints import EndpointRecord
from gateway.infra.webhook_log import DeliveryRecord
from gateway.schemas.shape import SHOWN


@dataclass(frozen=True)
class DisabledDocument:
    """Why nothing is sent to an endpoint. Without a `reason` somebody asked for it."""

    __pydantic_config__ = SHOWN

    reason: DisabledReason | None
    message: str


@dataclass(frozen=True)
class WebhookEndpointDocument:
    """One endpoint. Its secret is shown once, by who makes it."""

    __pydantic_config__ = SHOWN

    id: str
    url: str
    description: str
    event_types: tuple[str, ...]
    enabled: bool
    disabled: DisabledDocument | None
    failing_since: datetime | None
    old_secret_expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class NewWebhookEndpointDocument(WebhookEndpointDocument):
    """An endpoint whose secret was made just now."""

    __pydantic_config__ = SHOWN

    secret: str
    """It cannot be read again."""


@dataclass(frozen=True)
class WebhookEndpointList:
    """All of a tenant's, oldest first."""

    __pydantic_config__ = SHOWN

    items: tuple[WebhookEndpointDocument, ...]
    next_cursor: None = None


@dataclass(frozen=True)
class CallbackSecretDocument:
    """What signs a tenant's callbacks from now on."""

    __pydantic_config__ = SHOWN

    secret: str
    old_secret_expires_at: datetime | None


@dataclass(frozen=True)
class TryDocument:
    """One try. Without a `status` there was no answer, and `error` says why."""

    __pydantic_config__ = SHOWN

    at: str
    seconds: float
    status: int | None
    error: str | None
    message: str
    excerpt: str
    """The beginning of the answer's body: escaped, untrusted."""


@dataclass(frozen=True)
class WebhookDeliveryDocument:
    """One message to one receiver. `endpoint_id` is null for a callback."""

    __pydantic_config__ = SHOWN

    id: str
    message_id: str
    event_type: str
    subject_id: str | None
    endpoint_id: str | None
    url: str
    state: DeliveryState
    tries: tuple[TryDocument, ...]
    next_try_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    payload: str | None = None
    """As it is sent; null in lists."""


@dataclass(frozen=True)
class WebhookDeliveryList:
    """A page, newest first."""

    __pydantic_config__ = SHOWN

    items: tuple[WebhookDeliveryDocument, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class ReplayDocument:
    """How many deliveries are sent again."""

    __pydantic_config__ = SHOWN

    replayed: int


def endpoint_document(record: EndpointRecord) -> WebhookEndpointDocument:
    """The public view of an endpoint."""
    return WebhookEndpointDocument(**_endpoint_fields(record))


def new_endpoint_document(record: EndpointRecord, secret: str) -> NewWebhookEndpointDocument:
    """The same, with its secret, this once."""
    return NewWebhookEndpointDocument(**_endpoint_fields(record), secret=secret)


def delivery_document(record: DeliveryRecord) -> WebhookDeliveryDocument:
    """The public view of a delivery."""
    return WebhookDeliveryDocument(
        id=record.id,
        message_id=record.message_id,
        event_type=record.event_type,
        subject_id=record.subject_id,
        endpoint_id=record.endpoint_id,
        url=record.url,
        state=record.state,
        tries=tuple(TryDocument(**logged) for logged in record.log),
        next_try_at=record.due_at,
        created_at=record.created_at,
        finished_at=record.finished_at,
        payload=record.payload,
    )


def _endpoint_fields(record: EndpointRecord) -> dict[str, Any]:
    disabled = None
    if not record.enabled:
        disabled = DisabledDocument(record.disabled_reason, record.disabled_message or "")
    return {
        "id": record.id,
        "url": record.url,
        "description": record.description,
        "event_types": record.event_types,
        "enabled": record.enabled,
        "disabled": disabled,
        "failing_since": record.failing_since,
        "old_secret_expires_at": record.old_secret_expires_at,
        "created_at": record.created_at,
    }
