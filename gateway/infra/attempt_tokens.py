"""What whoever holds an attempt shows with every call about it. Only its digest is kept."""

import hmac
import secrets
from base64 import urlsafe_b64encode

from contracts.service_gate import token_digest


def issued_token(attempt_id: str, claim_key: str) -> str:
    """The same for a claim that repeats its key, since its answer may have been lost on the way.

    Nobody but the claimant knows the key, and a claim without one gets a token that no other claim gets.
    """
    if not claim_key:
        return secrets.token_urlsafe(32)
    return urlsafe_b64encode(hmac.digest(claim_key.encode(), attempt_id.encode(), "sha256")).decode()


def is_token(kept_sha256: str | None, token: str) -> bool:
    """Whether it is the one that was issued."""
    return kept_sha256 is not None and hmac.compare_digest(kept_sha256, token_digest(token))
