"""One thread for what nobody waits for: folding counts, and forgetting what has had its time."""

import logging
import threading
import time

from gateway.infra.database import Database
from gateway.infra.retention import Forgetting
from gateway.infra.tallies import fold

log = logging.getLogger(__name__)

FOLD_EVERY_SECONDS = 20.0
FORGET_EVERY_SECONDS = 3600.0


class Housekeeper:
    """Works until stopped. What fails is logged and tried again at the next turn."""

    def __init__(self, database: Database, forgetting: Forgetting) -> None:
        self._database = database
        self._forgetting = forgetting
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step in progress."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        forget_at = time.monotonic() + FOLD_EVERY_SECONDS
        while not self._stopping.wait(FOLD_EVERY_SECONDS):
            try:
                while not self._stopping.is_set() and fold(self._database):
                    pass
                if time.monotonic() >= forget_at:
                    forget_at = time.monotonic() + FORGET_EVERY_SECONDS
                    self._forgetting.run(self._stopping.is_set)
            except Exception:
                log.exception("housekeeping was cut short; it is taken up again")
