"""One thread that takes expired leases away and forgets what has had its day; of all gateways one sweeps."""

import logging
import threading
import time

from gateway.infra.attempt_queue import AttemptQueue
from gateway.infra.database import Database
from gateway.infra.idempotency import forget_expired
from gateway.infra.lookout import Lookout
from gateway.infra.work_leases import WorkLease, WorkLeases

log = logging.getLogger(__name__)

FORGET_EVERY_SECONDS = 600.0
BLIND_INTERVALS = 2
"""After so many without a sweep, agents could not be heard either."""
WORK = "sweep"


class Sweeper:
    """Sweeps every `interval_seconds` until stopped. A failed sweep is logged and tried again."""

    def __init__(
        self, database: Database, queue: AttemptQueue, leases: WorkLeases, interval_seconds: float
    ) -> None:
        self._database = database
        self._queue = queue
        self._leases = leases
        self._interval = interval_seconds
        self._lease: WorkLease | None = None
        self._lookout = Lookout(BLIND_INTERVALS * interval_seconds)
        self._forget_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin. Raises StorageUnavailable."""
        self._take_up()
        self._thread.start()

    def stop(self) -> None:
        """End, waiting for a sweep in progress."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                if self._take_up():
                    self._sweep()
            except Exception:
                log.exception("a sweep failed; the next one follows")

    def _take_up(self) -> bool:
        """Whether it is this gateway that sweeps. Who takes it up finds that nobody did for a while."""
        lease = self._leases.take(WORK)
        if lease is not None and (lease != self._lease or self._lookout.was_blind()):
            self._queue.extend_leases()
        self._lease = lease
        return lease is not None

    def _sweep(self) -> None:
        self._queue.sweep()
        self._lookout.look()
        if time.monotonic() >= self._forget_at:
            with self._database.write() as session:
                forget_expired(session)
                self._leases.forget_old(session)
            self._forget_at = time.monotonic() + FORGET_EVERY_SECONDS
