"""Keys, quotas and audit entries as they are answered."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.domain.access import KeyScope
from gateway.domain.api_keys import ApiKey
from gateway.domain.quotas import Quota
from gateway.infra.audit_log import AuditEntry
from gateway.infra.quotas import Usage
from gateway.schemas.shape import SHOWN, Count


@dataclass(frozen=True)
class KeyDocument:
    """A key, without what opens the door."""

    __pydantic_config__ = SHOWN

    id: str
    tenant: str
    label: str
    prefix: str
    """Its first characters."""
    scopes: tuple[KeyScope, ...]
    in_force: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """True to within an hour."""
    replaced_by: str | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class NewKeyDocument(KeyDocument):
    """A key that was just made. `key` opens the door, and is never shown again."""

    __pydantic_config__ = SHOWN

    key: str


@dataclass(frozen=True)
class KeyList:
    """Keys, newest first."""

    __pydantic_config__ = SHOWN

    items: tuple[KeyDocument, ...]
    next_cursor: None = None


@dataclass(frozen=True)
class LimitDocument:
    """One limit and what is used of it. A `limit` of null: none."""

    __pydantic_config__ = SHOWN

    used: int | None
    """Null where it is not measured, because nothing limits it."""
    limit: int | None


@dataclass(frozen=True)
class QuotaDocument:
    """What a tenant may use, and uses."""

    __pydantic_config__ = SHOWN

    tenant: str
    weight: float
    queued: LimitDocument
    running: LimitDocument
    gpu_seconds_per_day: LimitDocument
    storage_bytes: LimitDocument
    searches: LimitDocument


@dataclass(frozen=True)
class TenantList:
    """Tenants, by name."""

    __pydantic_config__ = SHOWN

    items: tuple[QuotaDocument, ...]
    next_cursor: None = None


@dataclass(frozen=True)
class AuditDocument:
    """One use of a key that changed something, or was meant to."""

    __pydantic_config__ = SHOWN

    id: int
    at: datetime
    tenant: str
    actor: str
    action: str
    target: str
    status: int
    request_id: str
    address: str


@dataclass(frozen=True)
class AuditList:
    """Entries, newest first."""

    __pydantic_config__ = SHOWN

    items: tuple[AuditDocument, ...]
    next_cursor: int | None


@dataclass(frozen=True)
class RemovalDocument:
    """What a tenant had, or has where it was only asked."""

    __pydantic_config__ = SHOWN

    tenant: str
    dry_run: bool
    """Nothing was removed."""
    rows: dict[str, Count]
    """By table."""


def key_document(key: ApiKey, now: datetime) -> KeyDocument:
    """A key as it is answered."""
    return KeyDocument(**_shown(key, now))


def new_key_document(key: ApiKey, secret: str, now: datetime) -> NewKeyDocument:
    """A key that was just made, with what opens the door."""
    return NewKeyDocument(**_shown(key, now), key=secret)


def quota_document(tenant: str, quota: Quota, used: Usage) -> QuotaDocument:
    """What a tenant may use, and uses."""
    return QuotaDocument(
        tenant=tenant,
        weight=quota.weight,
        queued=LimitDocument(used.queued, quota.queued),
        running=LimitDocument(used.running, quota.running),
        gpu_seconds_per_day=LimitDocument(used.gpu_seconds_per_day, quota.gpu_seconds_per_day),
        storage_bytes=LimitDocument(used.storage_bytes, quota.storage_bytes),
        searches=LimitDocument(used.searches, quota.searches),
    )


def audit_document(place: int, entry: AuditEntry) -> AuditDocument:
    """An entry as it is answered."""
    return AuditDocument(place, **vars(entry))


def _shown(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {**vars(key), "in_force": key.is_in_force(now)}
