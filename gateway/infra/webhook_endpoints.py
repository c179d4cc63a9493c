"""The endpoints that tenants have registered, their secrets, and the callbacks of single submissions.

A URL that comes here was checked (`gateway.routes.webhook_intake`). Lock order: endpoint, then deliveries.
"""

import base64
import secrets as random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gateway.domain.webhooks import (
    TEST_EVENT,
    DeliveryState,
    DisabledReason,
    SigningSecret,
    WebhookEvent,
    rotated,
)
from gateway.infra.database import Database, utc_now
from gateway.infra.identifiers import new_id
from gateway.infra.quotas import lock_tenant
from gateway.infra.webhook_outbox import enqueue, host_of
from gateway.infra.webhook_tables import (
    WebhookCallbackSecretRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
)

SECRET_BYTES = 32
MAX_ENDPOINTS = 16
"""Of one tenant: each is told of every event, so their number multiplies what is written."""

_SECRETS = TypeAdapter(tuple[SigningSecret, ...])


class EndpointUnknown(Exception):
    """There is no such endpoint, or it is another tenant's."""


class TooManyEndpoints(Exception):
    """The tenant has as many endpoints as one may have."""


class EndpointDisabled(Exception):
    """Nothing is sent to this endpoint until it is enabled."""


@dataclass(frozen=True)
class EndpointRecord:
    """An endpoint as everybody may see it: without its secrets."""

    id: str
    url: str
    description: str
    event_types: tuple[str, ...]
    enabled: bool
    disabled_reason: DisabledReason | None
    disabled_message: str | None
    failing_since: datetime | None
    old_secret_expires_at: datetime | None
    created_at: datetime


class WebhookEndpoints:
    """Thread-safe. What takes a `session` joins the caller's writing transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, session: Session, tenant: str, url: str, description: str, event_types: Sequence[str]
    ) -> tuple[EndpointRecord, str]:
        """(endpoint, secret). The secret cannot be read again. Raises TooManyEndpoints."""
        lock_tenant(session, tenant)
        owned = select(func.count()).where(WebhookEndpointRow.tenant == tenant)
        if (session.scalar(owned) or 0) >= MAX_ENDPOINTS:
            raise TooManyEndpoints(tenant)
        secret = new_secret()
        row = WebhookEndpointRow(
            id=new_id("we"),
            tenant=tenant,
            url=url,
            description=description,
            event_types=list(event_types),
            secrets=stored_secrets((SigningSecret(secret),)),
            enabled=True,
            created_at=utc_now(),
        )
        session.add(row)
        session.flush()
        return _record(row), secret

    def all(self, tenant: str) -> list[EndpointRecord]:
        """A tenant's endpoints, oldest first."""
        query = select(WebhookEndpointRow).where(WebhookEndpointRow.tenant == tenant)
        with self._database.read() as session:
            return [_record(row) for row in session.scalars(query.order_by(WebhookEndpointRow.id))]

    def read(self, endpoint_id: str, tenant: str) -> EndpointRecord:
        """One endpoint. Raises EndpointUnknown."""
        with self._database.read() as session:
            return _record(_own(session, endpoint_id, tenant))

    def change(
        self,
        endpoint_id: str,
        tenant: str,
        *,
        url: str | None = None,
        description: str | None = None,
        event_types: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> EndpointRecord:
        """Change what is given. Messages on their way go to a new URL, too. Raises EndpointUnknown.

        An endpoint that is enabled again is given the whole time again before it is disabled for failing.
        """
        with self._database.write() as session:
            row = _own(session, endpoint_id, tenant, locked=True)
            if url is not None and url != row.url:
                row.url = url
                session.execute(
                    update(WebhookDeliveryRow)
                    .where(
                        WebhookDeliveryRow.endpoint_id == endpoint_id,
                        WebhookDeliveryRow.state == DeliveryState.PENDING,
                    )
                    .values(url=url, host=host_of(url))
                )
            if description is not None:
                row.description = description
            if event_types is not None:
                row.event_types = list(event_types)
            if enabled is True and not row.enabled:
                row.enabled, row.failing_since = True, None
                row.disabled_reason = row.disabled_message = None
            elif enabled is False and row.enabled:
                disable_endpoint(session, row, None, "The endpoint was disabled.")
            return _record(row)

    def remove(self, endpoint_id: str, tenant: str) -> None:
        """Forget an endpoint; what is on its way ends, the log stays. Raises EndpointUnknown."""
        with self._database.write() as session:
            row = _own(session, endpoint_id, tenant, locked=True)
            disable_endpoint(session, row, None, "The endpoint was removed.")
            session.delete(row)

    def rotate(self, endpoint_id: str, tenant: str, overlap: timedelta) -> tuple[EndpointRecord, str]:
        """(endpoint, new secret); the old one signs, too, during the overlap. Raises EndpointUnknown."""
        secret = new_secret()
        with self._database.write() as session:
            row = _own(session, endpoint_id, tenant, locked=True)
            newer = rotated(read_secrets(row.secrets), secret, utc_now(), overlap)
            row.secrets = stored_secrets(newer)
            return _record(row), secret

    def test(self, endpoint_id: str, tenant: str) -> str:
        """Send a message that tells of nothing; gives its delivery's id.

        Raises EndpointUnknown, EndpointDisabled.
        """
        with self._database.write() as session:
            row = _own(session, endpoint_id, tenant, locked=True)
            if not row.enabled:
                raise EndpointDisabled(endpoint_id)
            event = WebhookEvent(TEST_EVENT, "", {"id": endpoint_id}, is_last=True)
            return enqueue(session, tenant, row.id, row.url, event, new_id("msg")).id

    # --- callbacks -----------------------------------------------------------------------------

    def rotate_callback_secret(self, tenant: str, overlap: timedelta) -> tuple[str, datetime | None]:
        """(new secret, end of the old one) of what signs a tenant's callbacks."""
        secret = new_secret()
        with self._database.write() as session:
            row = session.get(WebhookCallbackSecretRow, tenant, with_for_update=True)
            newer = rotated(read_secrets(row.secrets) if row else (), secret, utc_now(), overlap)
            if row is None:
                session.add(WebhookCallbackSecretRow(tenant=tenant, secrets=stored_secrets(newer)))
            else:
                row.secrets = stored_secrets(newer)
        return secret, newer[1].expires_at if len(newer) > 1 else None


def disable_endpoint(
    session: Session, row: WebhookEndpointRow, reason: DisabledReason | None, message: str
) -> None:
    """Send nothing more there, in the caller's transaction, which has locked the row.

    What is on its way ends as failed; it can be replayed once the endpoint is enabled. `reason`: the
    platform's, None where somebody asked for it.
    """
    now = utc_now()
    row.enabled = False
    row.disabled_reason = reason
    row.disabled_message = message[:400]
    session.execute(
        update(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.endpoint_id == row.id, WebhookDeliveryRow.state == DeliveryState.PENDING)
        .values(state=DeliveryState.FAILED, finished_at=now, due_at=None, lease=None, lease_expires_at=None)
    )


def new_secret() -> str:
    """Such as `whsec_…`: 32 random bytes, in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(random.token_bytes(SECRET_BYTES)).decode()


def read_secrets(stored: Sequence[dict[str, Any]]) -> tuple[SigningSecret, ...]:
    """Secrets out of their column."""
    return _SECRETS.validate_python(stored)


def stored_secrets(secrets: Sequence[SigningSecret]) -> list[dict[str, Any]]:
    """Secrets for their column."""
    documents = [asdict(secret) for secret in secrets]
    return [
        document | {"expires_at": at.isoformat() if (at := document["expires_at"]) else None}
        for document in documents
    ]


def _record(row: WebhookEndpointRow) -> EndpointRecord:
    kept = read_secrets(row.secrets)
    return EndpointRecord(
        id=row.id,
        url=row.url,
        description=row.description,
        event_types=tuple(row.event_types),
        enabled=row.enabled,
        disabled_reason=None if row.disabled_reason is None else DisabledReason(row.disabled_reason),
        disabled_message=row.disabled_message,
        failing_since=row.failing_since,
        old_secret_expires_at=next((s.expires_at for s in kept if s.expires_at is not None), None),
        created_at=row.created_at,
    )


def _own(session: Session, endpoint_id: str, tenant: str, *, locked: bool = False) -> WebhookEndpointRow:
    row = session.get(WebhookEndpointRow, endpoint_id, with_for_update=locked or None)
    if row is None or row.tenant != tenant:
        raise EndpointUnknown(endpoint_id)
    return row
