"""Who delivers which message: leases in the database, shared by all gateways.

A message under a lease is nobody else's, so none is delivered twice at a time; a lease that ran out is
claimed again, under the same message id, so none is lost. Claims are made one after the other, and what is
under a lease counts against its tenant and its host: a receiver that lets the gateway wait costs those who
wrote to it, and nobody else.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.orm import Session, undefer

from gateway.domain.webhooks import (
    DeliveryState,
    DisabledReason,
    SigningSecret,
    TryOutcome,
    disabling_reason,
    retry_delay_seconds,
    secrets_in_force,
)
from gateway.infra.database import Database, now_in
from gateway.infra.identifiers import new_id
from gateway.infra.webhook_endpoints import disable_endpoint, new_secret, read_secrets, stored_secrets
from gateway.infra.webhook_tables import (
    WebhookCallbackSecretRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
)

LEASE = timedelta(seconds=120)
"""Longer than any try, a slow name service included."""
MAX_OF_TENANT = 4
MAX_OF_HOST = 4
"""Deliveries under way at a time, over all gateways."""
MAX_LOGGED_TRIES = 20
LONGEST_WAIT = timedelta(seconds=110_000)
"""No message ever waits longer for its next try; one that seems to was written before the clock was set."""
LOOKED_AT = 200

_POSTGRES_CLAIM_LOCK = 7_346_003


@dataclass(frozen=True)
class ClaimedDelivery:
    """A message to deliver, by whom holds `lease` and nobody else."""

    id: str
    lease: str
    tenant: str
    endpoint_id: str | None
    message_id: str
    url: str
    payload: str
    secrets: tuple[str, ...]
    """In force now, the newest first."""


class WebhookLeases:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, most: int, scarce: bool = False) -> list[ClaimedDelivery]:
        """Up to `most` messages that are due, spread over tenants and hosts.

        Where room is `scarce`, only tenants with nothing under way are given any.
        """
        of_tenant = 1 if scarce else MAX_OF_TENANT
        chosen: list[str] = []
        with self._database.read() as session:
            now = now_in(session)
            if session.scalar(select(WebhookDeliveryRow.id).where(_is_due(now)).limit(1)) is None:
                return []
            if not self._database.is_shared:
                # To choose out of very many takes too long for a lock on all that write.
                chosen = _choose(session, now, most, of_tenant)
                if not chosen:
                    return []
        with self._database.write() as session:
            if self._database.is_shared:
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_CLAIM_LOCK})
                now = now_in(session)
                chosen = _choose(session, now, most, of_tenant)
            rows = _due_rows(session, chosen, now)
            if len(rows) < len(chosen):
                # Another one was faster.
                rows = _due_rows(session, _choose(session, now, most, of_tenant), now)
            claimed = (_claimed(session, row, now) for row in rows)
            return [delivery for delivery in claimed if delivery is not None]

    def settle(self, claimed: ClaimedDelivery, outcome: TryOutcome) -> None:
        """Write down what became of a try. Of a lease that was lost meanwhile nothing is written."""
        with self._database.write() as session:
            endpoint = _locked_endpoint(session, claimed.endpoint_id)
            row = session.scalar(
                select(WebhookDeliveryRow).where(WebhookDeliveryRow.id == claimed.id).with_for_update()
            )
            if row is None or row.lease != claimed.lease:
                return
            now = now_in(session)
            row.tries += 1
            row.log = [*row.log, _logged(outcome, now)][-MAX_LOGGED_TRIES:]
            row.lease = row.lease_expires_at = None
            if outcome.is_taken:
                _end(row, DeliveryState.DELIVERED, now)
                if endpoint is not None:
                    endpoint.failing_since = None
                return
            delay = retry_delay_seconds(row.tries, outcome.retry_after_seconds, random.random())  # noqa: S311
            if delay is None or outcome.is_gone:
                _end(row, DeliveryState.FAILED, now)
            else:
                row.due_at = now + timedelta(seconds=delay)
            if endpoint is not None and endpoint.enabled:
                session.flush()
                _note_failure(session, endpoint, outcome, now)

    def seconds_until_due(self) -> float | None:
        """Until the next message is due, 0 where one is; None where none waits."""
        query = select(func.min(WebhookDeliveryRow.due_at)).where(
            WebhookDeliveryRow.state == DeliveryState.PENDING, WebhookDeliveryRow.lease.is_(None)
        )
        with self._database.read() as session:
            due = session.scalar(query)
            return None if due is None else max(0.0, (due - now_in(session)).total_seconds())


def _due_rows(session: Session, ids: list[str], now: datetime) -> Sequence[WebhookDeliveryRow]:
    return session.scalars(
        select(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.id.in_(ids), _is_due(now))
        .options(undefer(WebhookDeliveryRow.payload))
        .order_by(WebhookDeliveryRow.due_at)
        .with_for_update()
    ).all()


def _claimed(session: Session, row: WebhookDeliveryRow, now: datetime) -> ClaimedDelivery | None:
    """A message under a lease of its own; None of one whose endpoint wants nothing any more: that ends."""
    secrets = _secrets(session, row, now)
    if secrets is None:
        _end(row, DeliveryState.FAILED, now)
        return None
    row.lease, row.lease_expires_at = new_id("wl"), now + LEASE
    return ClaimedDelivery(
        id=row.id,
        lease=row.lease,
        tenant=row.tenant,
        endpoint_id=row.endpoint_id,
        message_id=row.message_id,
        url=row.url,
        payload=row.payload,
        secrets=secrets,
    )


def _is_due(now: datetime) -> Any:
    """Pending, its time has come, and nobody is at it. A clock that was set back strands nothing."""
    waits = or_(WebhookDeliveryRow.due_at <= now, WebhookDeliveryRow.due_at > now + LONGEST_WAIT)
    return and_(WebhookDeliveryRow.state == DeliveryState.PENDING, waits, ~_is_leased(now))


def _is_leased(now: datetime) -> Any:
    return and_(
        WebhookDeliveryRow.lease.is_not(None),
        WebhookDeliveryRow.lease_expires_at > now,
        WebhookDeliveryRow.lease_expires_at <= now + 2 * LEASE,
    )


def _choose(session: Session, now: datetime, most: int, of_tenant: int) -> list[str]:
    """Ids of due messages: turn by turn between tenants, within the limits of tenants and hosts."""
    busy = session.execute(
        select(WebhookDeliveryRow.tenant, WebhookDeliveryRow.host).where(
            WebhookDeliveryRow.state == DeliveryState.PENDING, _is_leased(now)
        )
    ).all()
    tenants, hosts = Counter(row.tenant for row in busy), Counter(row.host for row in busy)
    due = _ranked(
        _is_due(now),
        WebhookDeliveryRow.tenant.not_in([name for name, count in tenants.items() if count >= of_tenant]),
        WebhookDeliveryRow.host.not_in([name for name, count in hosts.items() if count >= MAX_OF_HOST]),
    )
    waiting = session.execute(
        select(due).where(due.c.place <= of_tenant).order_by(due.c.place, due.c.due_at).limit(LOOKED_AT)
    ).all()
    chosen: list[str] = []
    for row in sorted(waiting, key=lambda row: (row.place + tenants[row.tenant], row.due_at)):
        if len(chosen) >= most:
            break
        if tenants[row.tenant] < of_tenant and hosts[row.host] < MAX_OF_HOST:
            tenants[row.tenant] += 1
            hosts[row.host] += 1
            chosen.append(row.id)
    return chosen


def _ranked(*conditions: Any) -> Any:
    """Messages with their `place` among their tenant's: one of each host, then the next of each, …"""
    row = WebhookDeliveryRow
    turn = func.row_number().over(partition_by=(row.tenant, row.host), order_by=row.due_at)
    turns = select(row.id, row.tenant, row.host, row.due_at, turn.label("turn")).where(*conditions).subquery()
    place = func.row_number().over(partition_by=turns.c.tenant, order_by=(turns.c.turn, turns.c.due_at))
    return select(turns, place.label("place")).where(turns.c.turn <= MAX_OF_HOST).subquery()


def _secrets(session: Session, row: WebhookDeliveryRow, now: datetime) -> tuple[str, ...] | None:
    """What to sign with; None where its endpoint wants nothing any more."""
    if row.endpoint_id is not None:
        endpoint = session.get(WebhookEndpointRow, row.endpoint_id)
        if endpoint is None or not endpoint.enabled:
            return None
        return secrets_in_force(read_secrets(endpoint.secrets), now)
    kept = session.get(WebhookCallbackSecretRow, row.tenant)
    if kept is None:
        # Nobody has asked for it yet; a message without a signature would look like anybody's.
        kept = WebhookCallbackSecretRow(
            tenant=row.tenant, secrets=stored_secrets((SigningSecret(new_secret()),))
        )
        session.add(kept)
        session.flush()
    return secrets_in_force(read_secrets(kept.secrets), now)


def _locked_endpoint(session: Session, endpoint_id: str | None) -> WebhookEndpointRow | None:
    if endpoint_id is None:
        return None
    return session.get(WebhookEndpointRow, endpoint_id, with_for_update=True)


def _note_failure(session: Session, endpoint: WebhookEndpointRow, outcome: TryOutcome, now: datetime) -> None:
    endpoint.failing_since = endpoint.failing_since or now
    reason = disabling_reason(outcome, endpoint.failing_since, now)
    if reason is DisabledReason.GONE:
        disable_endpoint(session, endpoint, reason, "It answered 410 Gone: it wants no messages any more.")
    elif reason is DisabledReason.FAILING:
        since = endpoint.failing_since.isoformat(timespec="seconds")
        disable_endpoint(
            session, endpoint, reason, f"It took no message since {since}. The last try: {outcome.message}"
        )


def _end(row: WebhookDeliveryRow, state: DeliveryState, now: datetime) -> None:
    row.state = state
    row.finished_at = now
    row.due_at = row.lease = row.lease_expires_at = None


def _logged(outcome: TryOutcome, now: datetime) -> dict[str, Any]:
    return {
        "at": now.isoformat(),
        "seconds": round(outcome.seconds, 3),
        "status": outcome.status,
        "error": outcome.error,
        "message": outcome.message,
        "excerpt": outcome.excerpt,
    }
