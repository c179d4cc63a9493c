"""Headers and signatures of Standard Webhooks 1.0.0: HMAC-SHA256 over id, time and body."""

from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook


def signed_headers(message_id: str, at: datetime, payload: str, secrets: Sequence[str]) -> dict[str, str]:
    """What a message is sent with. `at`: of this try, aware; one signature for each secret in force."""
    signatures = (Webhook(secret).sign(message_id, at, payload) for secret in secrets)
    return {
        "content-type": "application/json",
        "user-agent": "deltanas-webhooks",
        "accept-encoding": "identity",
        "connection": "close",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
