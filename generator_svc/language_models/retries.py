"""How long to wait before a request is made again, and when to stop trying. Pure."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_RETRY_AFTER = 24 * 3600.0


@dataclass(frozen=True)
class Backoff:
    """Waits that double, cut short by chance so that several clients do not come back together."""

    first_seconds: float = 0.5
    longest_seconds: float = 20.0

    def wait_seconds(self, failures: int) -> float:
        """After so many failures in a row, at least one."""
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311


class Patience:
    """What is left of the time in which one request may fail and be made again."""

    def __init__(self, seconds: float, backoff: Backoff) -> None:
        self._left = seconds
        self._backoff = backoff
        self._failures = 0

    @property
    def left(self) -> float:
        """Seconds, never below 0."""
        return max(self._left, 0.0)

    def spend(self, seconds: float) -> None:
        """So long did a try take."""
        self._left -= seconds

    def next_wait(self, retry_after: float | None) -> float | None:
        """Seconds until the next try after one more failure; None where patience ends before it comes."""
        self._failures += 1
        wait = max(self._backoff.wait_seconds(self._failures), retry_after or 0.0)
        if wait > self.left:
            return None
        self._left -= wait
        return wait


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3); None if neither."""
    if not value or len(value) > 64:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    # The comparison is false for NaN.
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if seconds == seconds else None
