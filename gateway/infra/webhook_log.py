"""The delivery log: what was told to whom, what became of it, and how to tell it again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session, undefer

from gateway.domain.webhooks import DeliveryState
from gateway.infra.database import Database, now_in
from gateway.infra.events import signal_after_commit
from gateway.infra.webhook_endpoints import EndpointDisabled, EndpointUnknown
from gateway.infra.webhook_outbox import WEBHOOKS_TOPIC, host_of
from gateway.infra.webhook_tables import WebhookDeliveryRow, WebhookEndpointRow

KEPT_FOR = timedelta(days=30)
MAX_REPLAYED = 1000
FORGOTTEN_AT_A_TIME = 500
"""Between two such transactions others write."""


class DeliveryUnknown(Exception):
    """There is no such delivery, or it is another tenant's."""


class DeliveryPending(Exception):
    """The message is on its way; it need not be sent again."""


@dataclass(frozen=True)
class DeliveryRecord:
    """One message to one receiver."""

    id: str
    message_id: str
    event_type: str
    subject_id: str | None
    endpoint_id: str | None
    url: str
    state: DeliveryState
    tries: int
    log: tuple[dict[str, Any], ...]
    due_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    payload: str | None
    """None in lists."""


class WebhookLog:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        tenant: str,
        *,
        limit: int,
        cursor: str | None = None,
        endpoint_id: str | None = None,
        subject_id: str | None = None,
        state: DeliveryState | None = None,
    ) -> tuple[list[DeliveryRecord], str | None]:
        """A tenant's deliveries, newest first, and the cursor of the next page."""
        query = select(WebhookDeliveryRow).where(WebhookDeliveryRow.tenant == tenant)
        if cursor is not None:
            query = query.where(WebhookDeliveryRow.id < cursor)
        if endpoint_id is not None:
            query = query.where(WebhookDeliveryRow.endpoint_id == endpoint_id)
        if subject_id is not None:
            query = query.where(WebhookDeliveryRow.subject_id == subject_id)
        if state is not None:
            query = query.where(WebhookDeliveryRow.state == state)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(WebhookDeliveryRow.id.desc()).limit(limit + 1)).all()
            return [_record(row) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None

    def read(self, delivery_id: str, tenant: str) -> DeliveryRecord:
        """One delivery with its payload. Raises DeliveryUnknown."""
        with self._database.read() as session:
            row = _own(session, delivery_id, tenant, with_payload=True)
            return _record(row, row.payload)

    def replay(self, delivery_id: str, tenant: str) -> None:
        """Send a message again, under its own id, with the whole schedule before it.

        Raises DeliveryUnknown, DeliveryPending; EndpointUnknown or EndpointDisabled of its endpoint.
        """
        with self._database.write() as session:
            row = _own(session, delivery_id, tenant)
            url = None if row.endpoint_id is None else _open_endpoint(session, row.endpoint_id, tenant).url
            row = _own(session, delivery_id, tenant, locked=True)
            if row.state == DeliveryState.PENDING:
                raise DeliveryPending(delivery_id)
            _send_again(row, url, now_in(session))
            signal_after_commit(session, WEBHOOKS_TOPIC)

    def replay_failed(self, endpoint_id: str, tenant: str, since: datetime | None) -> int:
        """Send again what an endpoint did not take, oldest first, at most MAX_REPLAYED; gives how many.

        Raises EndpointUnknown, EndpointDisabled.
        """
        with self._database.write() as session:
            endpoint = _open_endpoint(session, endpoint_id, tenant)
            query: Select[WebhookDeliveryRow] = select(WebhookDeliveryRow).where(
                WebhookDeliveryRow.endpoint_id == endpoint_id,
                WebhookDeliveryRow.state == DeliveryState.FAILED,
            )
            if since is not None:
                query = query.where(WebhookDeliveryRow.created_at >= since)
            query = query.order_by(WebhookDeliveryRow.id).limit(MAX_REPLAYED).with_for_update()
            rows = session.scalars(query).all()
            now = now_in(session)
            for row in rows:
                _send_again(row, endpoint.url, now)
            signal_after_commit(session, WEBHOOKS_TOPIC)
            return len(rows)

    def forget_old(self) -> bool:
        """Delete some of what ended longer than KEPT_FOR ago; whether there is more of it."""
        row = WebhookDeliveryRow
        with self._database.write() as session:
            # Not this host's clock: one that is ahead would delete what has time left.
            ended = row.finished_at < now_in(session) - KEPT_FOR
            oldest = session.scalars(
                select(row.id).where(ended).order_by(row.finished_at).limit(FORGOTTEN_AT_A_TIME)
            ).all()
            if oldest:
                # One that was replayed meanwhile has not ended.
                session.execute(delete(row).where(row.id.in_(oldest), ended))
            return len(oldest) == FORGOTTEN_AT_A_TIME


def _send_again(row: WebhookDeliveryRow, url: str | None, now: datetime) -> None:
    row.url = url or row.url
    row.host = host_of(row.url)
    row.state = DeliveryState.PENDING
    row.tries = 0
    row.due_at = now
    row.finished_at = None


def _open_endpoint(session: Session, endpoint_id: str, tenant: str) -> WebhookEndpointRow:
    endpoint = session.get(WebhookEndpointRow, endpoint_id, with_for_update=True)
    if endpoint is None or endpoint.tenant != tenant:
        raise EndpointUnknown(endpoint_id)
    if not endpoint.enabled:
        raise EndpointDisabled(endpoint_id)
    return endpoint


def _own(
    session: Session, delivery_id: str, tenant: str, *, locked: bool = False, with_payload: bool = False
) -> WebhookDeliveryRow:
    options = [undefer(WebhookDeliveryRow.payload)] if with_payload else []
    row = session.get(
        WebhookDeliveryRow, delivery_id, options=options, with_for_update=locked or None,
        populate_existing=locked,
    )  # fmt: skip
    if row is None or row.tenant != tenant:
        raise DeliveryUnknown(delivery_id)
    return row


def _record(row: WebhookDeliveryRow, payload: str | None = None) -> DeliveryRecord:
    return DeliveryRecord(
        id=row.id,
        message_id=row.message_id,
        event_type=row.event_type,
        subject_id=row.subject_id,
        endpoint_id=row.endpoint_id,
        url=row.url,
        state=DeliveryState(row.state),
        tries=row.tries,
        log=tuple(row.log),
        due_at=row.due_at,
        created_at=row.created_at,
        finished_at=row.finished_at,
        payload=payload,
    )
