"""Who writes to an SQLite file next: the threads of this process, one after the other.

SQLite lets who finds the file locked look again after a while, and longer each time: beside others that write
all the time some would wait for seconds. Other processes still meet the file's own lock.
"""

import threading


class WriterTurns:
    """A writing transaction begins in its turn. Thread-safe."""

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._thread = threading.local()

    def take(self, seconds: float) -> bool:
        """Wait for the turn at most so long; gives whether it came."""
        came = self._free.acquire(timeout=seconds)
        if came:
            self._thread.has_it = True
        return came

    def give_back(self) -> None:
        """Let the next one begin, if this thread has the turn."""
        if getattr(self._thread, "has_it", False):
            self._thread.has_it = False
            self._free.release()
