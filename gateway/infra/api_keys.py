"""API keys and whose they are. Only digests are stored: a key is shown once, when it is made.

A digest without salt or stretching is enough here. Slow hashes make up for secrets that people choose; a
key is 256 random bits, which nobody guesses from its SHA-256, and a slow hash on every request would be
a gift to whoever floods the gateway with wrong keys.
"""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from contracts.service_gate import token_digest
from gateway.domain.access import TENANT_SCOPES, KeyScope
from gateway.domain.api_keys import ApiKey, overlap_end
from gateway.infra.database import Database, utc_now
from gateway.infra.identifiers import new_id
from gateway.infra.tenant_tables import ApiKeyRow

KEY_PREFIX = "dn_"
KEY_LENGTH = len(KEY_PREFIX) + 43
SHOWN_CHARACTERS = len(KEY_PREFIX) + 6
"""36 of the 256 random bits: enough to tell keys apart, and far too little to guess one."""


class ApiKeyUnknown(Exception):
    """There is no such key, or it is another tenant's."""


class ApiKeyEnded(Exception):
    """The key was revoked, or has expired: it cannot be rotated."""


class ApiKeyStore:
    """Makes, checks, rotates and revokes keys. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        tenant: str,
        label: str = "",
        scopes: tuple[KeyScope, ...] = TENANT_SCOPES,
        expires_at: datetime | None = None,
    ) -> tuple[str, str]:
        """(id, key) of a new key. The key cannot be read again."""
        with self._database.write() as session:
            return _add(session, tenant, label, scopes, expires_at)

    def find(self, key: str) -> ApiKey | None:
        """The key that this is, whether it is in force or not; None for one that never was."""
        # Looked up by digest: timing can only tell about digests, which tell nothing about keys.
        if len(key) != KEY_LENGTH or not key.startswith(KEY_PREFIX):
            return None
        with self._database.read() as session:
            row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.digest == token_digest(key)))
            return None if row is None else _api_key(row)

    def note_use(self, key: ApiKey) -> None:
        """Write down that a key was used, unless that is on record well enough."""
        now = utc_now()
        if not key.wants_noting(now):
            return
        with self._database.write() as session:
            row = session.get(ApiKeyRow, key.id)
            if row is not None:
                row.last_used_at = now

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

        Raises ApiKeyUnknown, ApiKeyEnded.
        """
        with self._database.write() as session:
            row = _found(session, key_id, tenant)
            now = utc_now()
            old = _api_key(row)
            if not old.is_in_force(now):
                raise ApiKeyEnded(key_id)
            new_key_id, key = _add(session, old.tenant, old.label, old.scopes, expires_at)
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
        now = utc_now()
        return any(key.is_in_force(now) for key in self.all(None))


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


def _found(session: Session, key_id: str, tenant: str | None) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key_id, with_for_update=True)
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
