"""How an agent comes to an attempt: it claims until it is told whether the attempt is its own."""

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from sandbox_runner.agent.links import Unreachable

PAUSE_SECONDS = 0.5
"""Before a claim is tried again."""
CLAIM_SECONDS = 10.0
"""For so long one is tried; a lease lasts longer."""

_Claimed = TypeVar("_Claimed")


def claim_for_sure(
    claim: Callable[[str, str, str], _Claimed | None], agent_id: str, attempt_id: str
) -> _Claimed | None:
    """What was claimed; None where it cannot be. Raises Rejected, and Unreachable where no answer comes.

    The gateway may have granted a claim whose answer was lost. It does so again for the same key, which
    nobody else knows, and which a restarted agent has forgotten.
    """
    key, begin = secrets.token_urlsafe(32), time.monotonic()
    while True:
        try:
            return claim(agent_id, attempt_id, key)
        except Unreachable:
            if time.monotonic() - begin > CLAIM_SECONDS:
                raise
        time.sleep(PAUSE_SECONDS)
