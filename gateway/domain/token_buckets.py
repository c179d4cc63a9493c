"""How fast one caller may ask: a token bucket for each, in bounded memory. Pure: time is passed in.

No library fits: those at hand count requests in windows, keep one entry for each request or for ever, or
want a Redis; a bucket is two numbers and a line of arithmetic.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

MOST_BUCKETS = 20_000
"""Beyond so many those that were silent longest are forgotten: most of their buckets are full again."""


@dataclass(frozen=True)
class Allowance:
    """What a caller is told. Seconds are whole, and rounded up."""

    allowed: bool
    remaining: int
    reset_seconds: int
    """Until the bucket is full."""
    retry_seconds: int
    """Until the next request is allowed; 0 when it is now."""


class TokenBuckets:
    """One bucket for each name. It holds `capacity` tokens, refills within `window_seconds`, starts full.

    Not thread-safe: for one event loop.
    """

    def __init__(self, capacity: int, window_seconds: float, most: int = MOST_BUCKETS) -> None:
        self.capacity = capacity
        self.window_seconds = window_seconds
        self._rate = capacity / window_seconds
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> Allowance:
        """Take a token, if there is one. `now` is any clock in seconds that does not go back."""
        tokens, since = self._buckets.pop(name, (float(self.capacity), now))
        tokens = min(float(self.capacity), tokens + max(0.0, now - since) * self._rate)
        allowed = tokens >= 1.0
        if allowed:
            tokens -= 1.0
        self._buckets[name] = (tokens, now)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return Allowance(
            allowed,
            remaining=int(tokens),
            reset_seconds=math.ceil((self.capacity - tokens) / self._rate),
            retry_seconds=0 if allowed else max(1, math.ceil((1.0 - tokens) / self._rate)),
        )

    def __len__(self) -> int:
        return len(self._buckets)


def bucket_of_address(address: str) -> str:
    """Whose bucket an address takes from: of IPv6 the network, since one customer has all of a /64."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return "elsewhere"
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
