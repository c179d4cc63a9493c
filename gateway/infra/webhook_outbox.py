"""The transactional outbox of webhooks: what happened and who is told of it are one transaction.

`append_event` calls `announce` for everything that it logs, so no change of state can be told in one place
and forgotten in the other. What is written here is delivered by `gateway.loop.webhook_deliveries`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from contracts.names import EvaluationState
from gateway.domain.webhooks import DeliveryState, WebhookEvent, message, wants, webhook_event
from gateway.infra.database import TOPICS, now_in, utc_now
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.identifiers import new_id
from gateway.infra.search_tables import SearchRow
from gateway.infra.tables import EvaluationRow
from gateway.infra.webhook_tables import WebhookCallbackRow, WebhookDeliveryRow, WebhookEndpointRow

WEBHOOKS_TOPIC = "webhooks"
"""Signalled when there is a message to deliver."""


@dataclass(frozen=True)
class _Subject:
    """Whom an event is about."""

    tenant: str
    is_own: bool
    """Somebody asked for it. What a search asks for itself is told of by the search."""


def announce(session: Session, topic: str, event_type: str, data: Mapping[str, Any]) -> None:
    """Enqueue what receivers are to be told of an event of the log, in the caller's transaction."""
    event = webhook_event(topic, event_type, data)
    if event is None:
        return
    subject = _subject(session, event)
    if subject is None or not subject.is_own:
        return
    callback = session.get(WebhookCallbackRow, event.subject_id)
    targets: list[tuple[str | None, str]] = [
        (endpoint_id, url)
        for endpoint_id, url, chosen in session.execute(
            select(WebhookEndpointRow.id, WebhookEndpointRow.url, WebhookEndpointRow.event_types).where(
                WebhookEndpointRow.tenant == subject.tenant, WebhookEndpointRow.enabled.is_(True)
            )
        )
        if wants(chosen, event.type)
    ]
    if callback is not None:
        targets.append((None, callback.url))
        if event.is_last:
            session.execute(
                delete(WebhookCallbackRow).where(WebhookCallbackRow.subject_id == event.subject_id)
            )
    message_id = new_id("msg")
    for endpoint_id, url in targets:
        enqueue(session, subject.tenant, endpoint_id, url, event, message_id)


def expect_callback(session: Session, tenant: str, subject_id: str, url: str) -> None:
    """Have a submission's events told to a URL of its own, until it has ended; the URL was checked.

    An evaluation that was answered from the record has ended with its submission, and is told of at once.
    """
    evaluation = session.get(EvaluationRow, subject_id)
    if evaluation is not None and EvaluationState(evaluation.state).is_terminal:
        data = {"state": evaluation.state, "failure": evaluation.failure}
        event = webhook_event(f"evaluation:{subject_id}", "finished", data)
        if event is not None:
            enqueue(session, tenant, None, url, event, new_id("msg"))
        return
    session.add(WebhookCallbackRow(subject_id=subject_id, tenant=tenant, url=url, created_at=utc_now()))
    session.flush()


def enqueue(
    session: Session,
    tenant: str,
    endpoint_id: str | None,
    url: str,
    event: WebhookEvent,
    message_id: str,
) -> WebhookDeliveryRow:
    """Add one message for one receiver; due at once."""
    now = now_in(session)
    row = WebhookDeliveryRow(
        id=new_id("wd"),
        tenant=tenant,
        endpoint_id=endpoint_id,
        message_id=message_id,
        event_type=event.type,
        subject_id=event.subject_id or None,
        url=url,
        host=host_of(url),
        payload=json.dumps(message(event.type, now, event.data), separators=(",", ":")),
        state=DeliveryState.PENDING,
        tries=0,
        log=[],
        due_at=now,
        created_at=now,
    )
    session.add(row)
    session.info.setdefault(TOPICS, set()).add(WEBHOOKS_TOPIC)
    return row


def host_of(url: str) -> str:
    """Whom a URL that was checked leads to: deliveries are spread by it."""
    return (urlsplit(url).hostname or "")[:253]


def _subject(session: Session, event: WebhookEvent) -> _Subject | None:
    if event.type.startswith("evaluation."):
        evaluation = session.get(EvaluationRow, event.subject_id)
        if evaluation is None:
            return None
        return _Subject(evaluation.tenant, evaluation.search_id is None and evaluation.origin_key is None)
    if event.type.startswith("search."):
        search = session.get(SearchRow, event.subject_id)
        return None if search is None else _Subject(search.tenant, True)
    job = session.get(FineTuneRow, event.subject_id)
    return None if job is None else _Subject(job.tenant, job.after_cycle is None)
