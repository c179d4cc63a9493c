"""Ids of stored things: a prefix, the time in milliseconds, then randomness. They sort by age."""

import secrets
import time


def new_id(prefix: str) -> str:
    """Such as `ev_0197f3c2a1b09f4c…`: 12 hex digits of time, 16 of randomness."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"
