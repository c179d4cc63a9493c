"""API keys and whose they are. Only digests are stored: a key is shown once, when it is made.

A digest without salt or stretching is enough here. Slow hashes make up for secrets that people choose; a
key is 256 random bits, which nobody guesses from its SHA-256, and a slow hash on every request would be
a gift to whoever floods the gateway with wrong keys.
"""

import logging
import secrets
import time
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.orm import Session

from contracts.service_gate import token_digest
from gateway.domain.access import TENANT_SCOPES, KeyScope
from gateway.domain.api_keys import ApiKey, end_of_follower, overlap_end
from gateway.infra.database import Database, StorageUnavailable, utc_now
from gateway.infra.identifiers import new_id
from gateway.infra.quotas import lock_tenant
from gateway.infra.tenant_tables import ApiKeyRow

KEY_PREFIX = "dn_"
KEY_LENGTH = len(KEY_PREFIX) + 43
SHOWN_CHARACTERS = len(KEY_PREFIX) + 6
"""36 of the 256 random bits: enough to tell keys apart, and far too little to guess one."""
MAX_KEYS = 100
"""Of one tenant, in force at a time: each may ask as often as the others, so their number is a limit, too."""
KEPT_ENDED = 100
"""So many keys of a tenant that have ended stay listed; of all of them the audit log knows."""
NOTE_AGAIN_SECONDS = 60.0

log = logging.getLogger(__name__)


class ApiKeyUnknown(Exception):
    """There is no such key, or it is another tenant's."""


class ApiKeyEnded(Exception):
    """The key was revoked, or has expired: it cannot be rotated."""


class ApiKeyRotated(Exception):
    """The key has a follower already."""

    def __init__(self, follower: str) -> None:
        super().__init__(follower)
        self.follower = follower


class TooManyApiKeys(Exception):
    """The tenant has as many keys in force as one may have."""


class ApiKeyStore:
    """Makes, checks, rotates and revokes keys. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._note_at = 0.0

    def create(
        self,
        tenant: str,
        label: str = "",
        scopes: tuple[KeyScope, ...] = TENANT_SCOPES,
        expires_at: datetime | None = None,
    ) -> tuple[str, str]:
        """(id, key) of a new key. The key cannot be read again. Raises TooManyApiKeys."""
        with self._database.write() as session:
            return create_key(session, tenant, label, scopes, expires_at)

    def find(self, key: str) -> ApiKey | None:
        """The key that this is, whether it is in force or not; None for one that never was."""
        # Looked up by digest: timing can only tell about digests, which tell nothing about keys.
        if len(key) != KEY_LENGTH or not key.startswith(KEY_PREFIX):
            return None
        with self._database.read() as session:
            row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.digest == token_digest(key)))
            return None if row is None else _api_key(row)

    def note_use(self, key: ApiKey) -> None:
        """Write down that a key was used, unless that is on record well enough.

        Whoever only reads needs no database that can be written: where it cannot, the note is left for later.
        """
        now = utc_now()
        if not key.wants_noting(now) or time.monotonic() < self._note_at:
            return
        try:
            with self._database.write() as session:
                row = session.get(ApiKeyRow, key.id)
                if row is not None and _api_key(row).wants_noting(now):
                    row.last_used_at = now
        except StorageUnavailable as error:
            self._note_at = time.monotonic() + NOTE_AGAIN_SECONDS
            log.warning("the use of a key could not be written down: %s", error)

    def read(self, key_id: str, tenant: str | None) -> ApiKey:
        """One key, of any tenant unless one is named. Raises ApiKeyUnknown."""
        with self._database.read() as session:
            return _api_key(_found(session, key_id, tenant))

    def all(self, tenant: str | None) -> list[ApiKey]:
        """The keys of a tenant, or of all, newest first."""
        query: Select[ApiKeyRow] = select(ApiKeyRow).order_by(ApiKeyRow.id.desc())
        if tenant is not None:
            query = query.where(ApiKeyRow.tenant == tenant)
        with self._database.read() as session:
            return [_api_key(row) for row in session.scalars(query)]

    def rotate(
        self, key_id: str, tenant: str | None, overlap: timedelta, expires_at: datetime | None
    ) -> tuple[ApiKey, str]:
        """A new key with the old one's rights, and what opens the door; the old one ends after `overlap`.

        `expires_at`: None gives it as long a life as the old one was made with.
        Raises ApiKeyUnknown, ApiKeyEnded, ApiKeyRotated, TooManyApiKeys.
        """
        with self._database.write() as session:
            row = _found(session, key_id, tenant, locked=True)
            now = utc_now()
            old = _api_key(row)
            if not old.is_in_force(now):
                raise ApiKeyEnded(key_id)
            if old.replaced_by is not None:
                raise ApiKeyRotated(old.replaced_by)
            _require_room(session, old.tenant, but=key_id)
            end = expires_at or end_of_follower(old, now)
            new_key_id, key = _add(session, old.tenant, old.label, old.scopes, end)
            row.expires_at = overlap_end(old.expires_at, now, overlap)
            row.replaced_by = new_key_id
            session.flush()
            return _api_key(session.get_one(ApiKeyRow, new_key_id)), key

    def revoke(self, key_id: str, tenant: str | None = None) -> bool:
        """End a key; False when there is no such key in force."""
        with self._database.write() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is None or row.revoked_at is not None or tenant not in {None, row.tenant}:
                return False
            row.revoked_at = utc_now()
            return True

    def any_in_force(self) -> bool:
        """Whether at least one key opens the door."""
        with self._database.read() as session:
            return session.scalar(select(ApiKeyRow.id).where(_is_in_force(utc_now())).limit(1)) is not None


def _is_in_force(now: datetime) -> ColumnElement[bool]:
    """`ApiKey.is_in_force`, for the database."""
    return ApiKeyRow.revoked_at.is_(None) & or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now)


def _require_room(session: Session, tenant: str, but: str = "") -> None:
    """Refuse one key too many, and forget those that ended long ago. `but`: a key that is to end."""
    lock_tenant(session, tenant)
    in_force = _is_in_force(utc_now())
    others = select(func.count(ApiKeyRow.id)).where(ApiKeyRow.tenant == tenant, ApiKeyRow.id != but, in_force)
    if (session.scalar(others) or 0) >= MAX_KEYS:
        raise TooManyApiKeys(tenant)
    ended = select(ApiKeyRow.id).where(ApiKeyRow.tenant == tenant, ~in_force).order_by(ApiKeyRow.id.desc())
    kept = session.scalars(ended.limit(KEPT_ENDED)).all()
    if len(kept) == KEPT_ENDED:
        session.execute(
            delete(ApiKeyRow).where(ApiKeyRow.tenant == tenant, ~in_force, ApiKeyRow.id < kept[-1])
        )


def create_key(
    session: Session,
    tenant: str,
    label: str,
    scopes: tuple[KeyScope, ...],
    expires_at: datetime | None = None,
) -> tuple[str, str]:
    """(id, key) of a new key, in the caller's transaction. Raises TooManyApiKeys."""
    _require_room(session, tenant)
    return _add(session, tenant, label, scopes, expires_at)


def _add(
    session: Session, tenant: str, label: str, scopes: tuple[KeyScope, ...], expires_at: datetime | None
) -> tuple[str, str]:
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    row = ApiKeyRow(
        id=new_id("key"),
        tenant=tenant,
        label=label,
        digest=token_digest(key),
        prefix=key[:SHOWN_CHARACTERS],
        scopes=" ".join(scopes),
        created_at=utc_now(),
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row.id, key


def _found(session: Session, key_id: str, tenant: str | None, *, locked: bool = False) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key_id, with_for_update=locked or None)
    if row is None or tenant not in {None, row.tenant}:
        raise ApiKeyUnknown(key_id)
    return row


def _api_key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        label=row.label,
        prefix=row.prefix,
        scopes=tuple(KeyScope(scope) for scope in row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        replaced_by=row.replaced_by,
        revoked_at=row.revoked_at,
    )
