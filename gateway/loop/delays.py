"""How long the loop waits before it asks somebody again."""

import time
from typing import Self

from contracts.proposals import ProposerBlocked

FIRST_HELD_UP_SECONDS = 1.0
LONGEST_HELD_UP_SECONDS = 60.0
"""The longest wait for what a proposer depends on, unless that asks for more."""
LONGEST_ASKED_SECONDS = 900.0
"""A search tries again at least this often, whatever an endpoint says."""


def growing_delay(failures: int, first: float, longest: float) -> float:
    """Seconds, twice as many with every failure in a row, up to the longest."""
    return float(min(first * 2 ** min(failures - 1, 10), longest))


class HeldUpWait:
    """How long a proposer is left in peace after what it depends on was away, or wanted to be left in peace.

    Meanwhile the search goes on with what was proposed, and can be paused or cancelled.
    """

    def __init__(self, times: int = 0, seconds: float = 0.0) -> None:
        """After so many times in a row; the first wait is none."""
        self.seconds = seconds
        self.times = times
        self._end = time.monotonic() + seconds

    def longer(self, blocked: ProposerBlocked) -> Self:
        """The wait after one more time: longer than the last, and as long as is asked for, within reason."""
        times = self.times + 1
        grown = growing_delay(times, FIRST_HELD_UP_SECONDS, LONGEST_HELD_UP_SECONDS)
        asked = min(blocked.retry_after_seconds or 0.0, LONGEST_ASKED_SECONDS)
        return type(self)(times, max(grown, asked))

    def seconds_left(self) -> float:
        """Until the proposer may be asked again; 0 when it may be asked now."""
        return max(0.0, self._end - time.monotonic())
