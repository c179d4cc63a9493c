"""Who holds an attempt: an agent, by the token that it shows with every call. Only its digest is kept."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta

from contracts.names import AttemptState
from contracts.service_gate import token_digest
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow
from gateway.infra.tables import AttemptRow

Attempt = AttemptRow | FineTuneAttemptRow


def issued_token(attempt_id: str, claim_key: str) -> str:
    """The same for a claim that repeats its key, since its answer may have been lost on the way.

    Nobody but the claimant knows the key, and a claim without one gets a token that no other claim gets.
    """
    if not claim_key:
        return secrets.token_urlsafe(32)
    return urlsafe_b64encode(hmac.digest(claim_key.encode(), attempt_id.encode(), "sha256")).decode()


def is_token(attempt: Attempt, token: str) -> bool:
    """Whether it is the one that was issued."""
    kept = attempt.token_sha256
    return kept is not None and hmac.compare_digest(kept, token_digest(token))


def is_held_by(attempt: Attempt, agent_id: str, token: str) -> bool:
    """Whether this agent has the attempt now, by a claim that was given this token."""
    is_its = attempt.state == AttemptState.LEASED and attempt.agent_id == agent_id
    return is_its and is_token(attempt, token)


def begin_lease(attempt: Attempt, agent_id: str, token: str, now: datetime, lease: timedelta) -> None:
    """The attempt is this agent's, for so long."""
    attempt.state = AttemptState.LEASED
    attempt.agent_id = agent_id
    attempt.token_sha256 = token_digest(token)
    attempt.started_at = now
    attempt.lease_expires_at = now + lease
