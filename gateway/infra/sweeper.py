"""One thread that takes expired leases away and forgets what has had its day."""

import logging
import threading
import time

from gateway.infra.attempt_queue import AttemptQueue
from gateway.infra.database import Database
from gateway.infra.idempotency import forget_expired

log = logging.getLogger(__name__)

FORGET_EVERY_SECONDS = 600.0


class Sweeper:
    """Sweeps every `interval_seconds` until stopped. A failed sweep is logged and tried again."""

    def __init__(self, database: Database, queue: AttemptQueue, interval_seconds: float) -> None:
        self._database = database
        self._queue = queue
        self._interval = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, waiting for a sweep in progress."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        forget_at = time.monotonic()
        while not self._stopping.wait(self._interval):
            try:
                self._queue.sweep()
                if time.monotonic() >= forget_at:
                    with self._database.write() as session:
                        forget_expired(session)
                    forget_at = time.monotonic() + FORGET_EVERY_SECONDS
            except Exception:
                log.exception("a sweep failed; the next one follows")
