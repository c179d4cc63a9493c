"""Whether leases that have run out may be believed, by whoever takes them away."""

import time


class Lookout:
    """Leases run out, too, while nobody hears them renewed: the database is away, this process stands still.

    Whoever was blind for so long, or has only just begun to look, lets every lease begin anew first.
    """

    def __init__(self, longest_blink_seconds: float) -> None:
        self._longest = longest_blink_seconds
        self._looked_at: float | None = None

    def was_blind(self) -> bool:
        """Whether the last look is too long ago."""
        return self._looked_at is None or time.monotonic() - self._looked_at > self._longest

    def look(self) -> None:
        """The database has answered just now."""
        self._looked_at = time.monotonic()
