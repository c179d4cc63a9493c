"""Which attempts an agent is at: none of them twice at a time, although brokers deliver twice."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class UnderWay:
    """Ids of attempts. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: set[str] = set()

    def __len__(self) -> int:
        return len(self._attempts)

    @contextmanager
    def once(self, attempt_id: str) -> Iterator[bool]:
        """Whether nobody here is at this attempt already. To the end of the block somebody is."""
        with self._lock:
            is_first = attempt_id not in self._attempts
            self._attempts.add(attempt_id)
        try:
            yield is_first
        finally:
            if is_first:
                with self._lock:
                    self._attempts.discard(attempt_id)
