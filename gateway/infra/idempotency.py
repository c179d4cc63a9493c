"""`Idempotency-Key`: the answer to a request is stored with what the request did, in one transaction.

A key belongs to one tenant and one route, and is forgotten after a day, by the clock that all gateways share.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gateway.infra.database import Database, now_in
from gateway.infra.tables import IdempotencyRow

KEPT_FOR = timedelta(hours=24)


class IdempotencyKeyReused(Exception):
    """The key was used before, for another body."""


@dataclass(frozen=True)
class Answer:
    """What a request was answered: enough to answer it again."""

    status: int
    body: dict[str, Any]
    """JSON-ready."""
    location: str | None = None
    replayed: bool = False


@dataclass(frozen=True)
class IdempotencyScope:
    """Whose key, for which route, and the canonical JSON of the request's body."""

    tenant: str
    route: str
    key: str
    body: str

    @property
    def digest(self) -> str:
        """SHA-256 of the body, hex."""
        return hashlib.sha256(self.body.encode("utf-8", "surrogatepass")).hexdigest()


def recall(database: Database, scope: IdempotencyScope | None) -> Answer | None:
    """The answer given before, if any. Raises IdempotencyKeyReused."""
    if scope is None:
        return None
    with database.read() as session:
        return _stored(session, scope)


def answer_once(
    database: Database, scope: IdempotencyScope | None, act: Callable[[Session], Answer]
) -> Answer:
    """Act and store the answer in one transaction; or give the stored one. Raises IdempotencyKeyReused.

    Of two concurrent requests with one key one acts, and the other gets its answer.
    """
    try:
        return database.change(lambda session: _answer_in(session, scope, act))
    except IntegrityError:
        # On a database with concurrent writers the other request may have won between our look and our write.
        earlier = recall(database, scope)
        if earlier is None:
            raise
        return earlier


def forget_expired(session: Session) -> None:
    """Delete the keys whose day is over."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.expires_at < now_in(session)))


def _answer_in(session: Session, scope: IdempotencyScope | None, act: Callable[[Session], Answer]) -> Answer:
    if scope is None:
        return act(session)
    earlier = _stored(session, scope)
    if earlier is not None:
        return earlier
    session.execute(
        delete(IdempotencyRow).where(
            IdempotencyRow.tenant == scope.tenant,
            IdempotencyRow.route == scope.route,
            IdempotencyRow.key == scope.key,
        )
    )
    answer = act(session)
    session.add(
        IdempotencyRow(
            tenant=scope.tenant,
            route=scope.route,
            key=scope.key,
            body_sha256=scope.digest,
            status=answer.status,
            answer={"body": answer.body, "location": answer.location},
            expires_at=now_in(session) + KEPT_FOR,
        )
    )
    session.flush()
    return answer


def _stored(session: Session, scope: IdempotencyScope) -> Answer | None:
    row = session.get(IdempotencyRow, (scope.tenant, scope.route, scope.key))
    if row is None or row.expires_at < now_in(session):
        return None
    if row.body_sha256 != scope.digest:
        raise IdempotencyKeyReused(scope.key)
    return Answer(row.status, row.answer["body"], row.answer["location"], replayed=True)
