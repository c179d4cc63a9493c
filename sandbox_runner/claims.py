"""What a guest claims about its training: its own word, read with suspicion, measured by nobody."""

import json
import math
from typing import Any

from sandbox_runner.stops import GuestStopped, Stop, StopKind


def claims_from(payload: bytes) -> dict[str, Any]:
    """The guest's claims, a JSON object. Raises GuestStopped."""
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise GuestStopped(Stop(StopKind.MALFORMED, "the claims about training are not a JSON object"))
    return claims


def claimed_number(value: object) -> float | None:
    """A finite float, or nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return None
    return float(value) if math.isfinite(value) else None


def claimed_count(value: object) -> int | None:
    """A whole number from 0 to 10^15, or nothing."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= 10**15 else None
