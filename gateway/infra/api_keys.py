"""API keys and whose they are. Only digests are stored: a key is shown once, when it is made."""

import secrets

from sqlalchemy import select

from contracts.service_gate import token_digest
from gateway.infra.database import Database, utc_now
from gateway.infra.identifiers import new_id
from gateway.infra.tables import ApiKeyRow

KEY_PREFIX = "dn_"


class ApiKeyStore:
    """Makes, checks and revokes keys. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant: str, label: str = "") -> tuple[str, str]:
        """(id, key) of a new key. The key cannot be read again."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        row = ApiKeyRow(
            id=new_id("key"), tenant=tenant, label=label, digest=token_digest(key), created_at=utc_now()
        )
        with self._database.write() as session:
            session.add(row)
        return row.id, key

    def tenant_of(self, key: str) -> str | None:
        """Whose key this is, or None."""
        # Looked up by digest: timing can only tell about digests, which tell nothing about keys.
        with self._database.read() as session:
            return session.scalar(
                select(ApiKeyRow.tenant).where(
                    ApiKeyRow.digest == token_digest(key), ApiKeyRow.revoked_at.is_(None)
                )
            )

    def revoke(self, key_id: str) -> bool:
        """End a key; False when there is no such key in force."""
        with self._database.write() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is None or row.revoked_at is not None:
                return False
            row.revoked_at = utc_now()
            return True

    def any_in_force(self) -> bool:
        """Whether at least one key opens the door."""
        with self._database.read() as session:
            found = session.scalar(select(ApiKeyRow.id).where(ApiKeyRow.revoked_at.is_(None)).limit(1))
            return found is not None
