"""Webhooks: which events there are, what a message says, and when a delivery is tried again. Pure.

A message is thin: it says what happened to whom; who wants to know more asks the API. Where it may go is
`webhook_targets`. Source of names, headers and schedule: Standard Webhooks 1.0.0 (standardwebhooks.com).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gateway.domain.webhook_targets import HOST_REFUSED, host_refusal

EVENT_TYPES = (
    "evaluation.succeeded",
    "evaluation.failed",
    "evaluation.cancelled",
    "search.cycle_finished",
    "search.paused",
    "search.succeeded",
    "search.failed",
    "search.cancelled",
    "fine_tune.succeeded",
    "fine_tune.failed",
    "fine_tune.cancelled",
)
EVENT_FILTERS = (*EVENT_TYPES, "evaluation.*", "search.*", "fine_tune.*")
"""What an endpoint may choose from."""
TEST_EVENT = "webhook.test"

_KINDS = {"evaluation": "evaluation", "search": "search", "fine-tune": "fine_tune"}
"""By the first word of a topic of the event log."""
_PATHS = {"evaluation": "/v1/evaluations/", "search": "/v1/searches/", "fine_tune": "/v1/fine-tunes/"}

RETRY_DELAYS_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After the first try, the second, and so on: ten tries within some three days."""
JITTER_SHARE = 0.2
"""A delay becomes up to this much longer, so that those who failed together do not come back together."""
LONGEST_RETRY_AFTER_SECONDS = 86_400
FAILING_FOR = timedelta(days=5)
"""An endpoint that took nothing for this long, though it was tried, is disabled."""

HTTP_GONE = 410

HOST_NOT_FOUND = "host_not_found"
_LOOKED_UP = (HOST_NOT_FOUND, HOST_REFUSED)
"""Errors of a try that say what a look-up came to."""


class DeliveryState(StrEnum):
    """`pending` until a receiver took it or nobody tries any more."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DisabledReason(StrEnum):
    """Why the platform disabled an endpoint."""

    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True)
class WebhookEvent:
    """Something that receivers are told of."""

    type: str
    subject_id: str
    """Of the evaluation, search or fine-tune."""
    data: Mapping[str, Any]
    is_last: bool
    """Nothing more will happen to the subject."""


@dataclass(frozen=True)
class SigningSecret:
    """What messages are signed with; `expires_at` is set of one that was replaced."""

    secret: str
    """`whsec_` and base64."""
    expires_at: datetime | None = None


@dataclass(frozen=True)
class TryOutcome:
    """What became of one try. Without a `status` there was no answer: then `error` says why, as a code."""

    status: int | None
    error: str | None
    message: str
    seconds: float
    excerpt: str = ""
    """The beginning of the answer's body, harmless."""
    retry_after_seconds: float | None = None

    def as_told_of(self, host: str) -> "TryOutcome":
        """The same for whom the log of deliveries is: without what a look-up may say of the inner network."""
        if self.error not in _LOOKED_UP:
            return self
        return TryOutcome(None, HOST_REFUSED, host_refusal(host), seconds=0.0)

    @property
    def is_taken(self) -> bool:
        """Any 2xx, and nothing else."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """The receiver wants no message any more."""
        return self.status == HTTP_GONE


def webhook_event(topic: str, event_type: str, data: Mapping[str, Any]) -> WebhookEvent | None:
    """What receivers are told of an event of the log; None of most."""
    word, _, subject_id = topic.partition(":")
    kind = _KINDS.get(word)
    if kind is None:
        return None
    if event_type == "finished":
        news, is_last = str(data["state"]), True
    elif kind == "search" and event_type == "cycle_finished":
        news, is_last = event_type, False
    elif kind == "search" and event_type == "state" and data.get("state") == "paused":
        news, is_last = "paused", False
    else:
        return None
    told = {
        "id": subject_id,
        "state": "running" if news == "cycle_finished" else news,
        "url": _PATHS[kind] + subject_id,
        **_more(kind, news, data),
    }
    return WebhookEvent(f"{kind}.{news}", subject_id, told, is_last)


def message(event_type: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a message."""
    return {"type": event_type, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": dict(data)}


def wants(chosen: Sequence[str], event_type: str) -> bool:
    """Whether an endpoint with this choice of events is told of one; no choice is all."""
    return not chosen or event_type in chosen or f"{event_type.partition('.')[0]}.*" in chosen


def retry_delay_seconds(tries: int, asked: float | None, chance: float) -> float | None:
    """Seconds until the next try after so many (≥ 1), or None: it was the last.

    `asked` is the receiver's Retry-After, which is honoured up to a day; `chance` in [0, 1) is the jitter.
    """
    if tries > len(RETRY_DELAYS_SECONDS):
        return None
    usual = RETRY_DELAYS_SECONDS[tries - 1] * (1 + JITTER_SHARE * chance)
    return max(usual, min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS))


def disabling_reason(
    outcome: TryOutcome, failing_since: datetime | None, now: datetime
) -> DisabledReason | None:
    """Whether a try that failed is the one after which an endpoint is not asked any more."""
    if outcome.is_gone:
        return DisabledReason.GONE
    if failing_since is not None and now - failing_since >= FAILING_FOR:
        return DisabledReason.FAILING
    return None


def rotated(
    secrets: Sequence[SigningSecret], newer: str, now: datetime, overlap: timedelta
) -> tuple[SigningSecret, ...]:
    """The new secret first; the one before is valid until the overlap is over, older ones are not."""
    current = [secret for secret in secrets if secret.expires_at is None]
    kept = [SigningSecret(current[0].secret, now + overlap)] if current and overlap else []
    return (SigningSecret(newer), *kept)


def secrets_in_force(secrets: Sequence[SigningSecret], now: datetime) -> tuple[str, ...]:
    """What a message is signed with now, the newest first."""
    return tuple(s.secret for s in secrets if s.expires_at is None or s.expires_at > now)


def _more(kind: str, news: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What tells events of one type apart, in a word."""
    if news == "cycle_finished":
        return {"cycle": data["cycle"]}
    if news == "paused":
        paused_by = data.get("paused_by") or {}
        return {"reason": paused_by.get("code")}
    if kind == "search":
        return {}
    failure = data.get("failure") or {}
    return {"reason": failure.get("reason")}
