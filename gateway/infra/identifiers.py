"""Ids of stored things: a prefix, a growing time in microseconds, then randomness. They sort by age."""

import secrets
import threading
import time
from datetime import datetime

_lock = threading.Lock()
_latest_us = 0


def first_id_since(prefix: str, moment: datetime) -> str:
    """An id that sorts behind all that were made before a moment, and before the others."""
    return f"{prefix}_{round(moment.timestamp() * 1_000_000):014x}"


def new_id(prefix: str) -> str:
    """Such as `ev_00643f5a0c1b2d9f4c…`: 14 hex digits of time, 14 of randomness."""
    global _latest_us
    with _lock:
        # Never twice the same: what one process creates in a row stays in that order.
        _latest_us = max(_latest_us + 1, time.time_ns() // 1000)
        return f"{prefix}_{_latest_us:014x}{secrets.token_hex(7)}"
