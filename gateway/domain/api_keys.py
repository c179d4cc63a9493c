"""API keys as the gateway knows them, and what may become of them. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.domain.access import KeyScope

LOCAL_TENANT = "local"
"""Who calls from the gateway's own machine without a key."""
TENANT_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"

USE_NOTED_EVERY = timedelta(hours=1)
"""`last_used_at` is true to within this: a key that is used all day is not written all day."""


@dataclass(frozen=True)
class ApiKey:
    """A key, without what opens the door."""

    id: str
    tenant: str
    label: str
    prefix: str
    """Its first characters, to tell it from others."""
    scopes: tuple[KeyScope, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    replaced_by: str | None
    revoked_at: datetime | None

    def is_in_force(self, now: datetime) -> bool:
        """Whether it opens the door."""
        return self.revoked_at is None and not self.has_expired(now)

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def wants_noting(self, now: datetime) -> bool:
        """Whether a use at this moment is to be written down."""
        return self.last_used_at is None or now - self.last_used_at >= USE_NOTED_EVERY


@dataclass(frozen=True)
class Caller:
    """Who asks: a key, or the operator of the machine itself, who needs none on loopback."""

    tenant: str
    scopes: frozenset[KeyScope]
    key_id: str | None

    @property
    def actor(self) -> str:
        """What the audit log calls it."""
        return self.key_id or "local"


LOCAL_CALLER = Caller(LOCAL_TENANT, frozenset(KeyScope), None)


def end_of_follower(old: ApiKey, now: datetime) -> datetime | None:
    """Until when the follower of a key is good: it is given as much time as the old one was made with."""
    return None if old.expires_at is None else now + (old.expires_at - old.created_at)


def overlap_end(expires_at: datetime | None, now: datetime, overlap: timedelta) -> datetime:
    """Until when a rotated key goes on opening the door: never longer than it would have."""
    end = now + overlap
    return end if expires_at is None else min(end, expires_at)
