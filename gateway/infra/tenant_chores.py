"""What has to be done for tenants now and then, by one thread: booking, measuring, forgetting."""

import logging
import threading
import time
from datetime import datetime, timedelta

from gateway.infra.attempt_offers import AttemptOffers
from gateway.infra.audit_log import forget_audit
from gateway.infra.database import Database, now_in
from gateway.infra.slot_ledger import forget_old_usage
from gateway.infra.tenant_storage import measure_storage

SETTLE_SECONDS = 30.0
"""Slots are booked whenever one is given out; this is for when none is."""
HOUSEKEEPING_SECONDS = 600.0
USAGE_KEPT_FOR = timedelta(days=400)

log = logging.getLogger(__name__)


class TenantChores:
    """Runs until stopped. A chore that fails is logged and done again; several gateways may do the same."""

    def __init__(self, database: Database, offers: AttemptOffers, audit_days: int) -> None:
        self._database = database
        self._offers = offers
        self._audit_kept_for = timedelta(days=audit_days)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tenant chores", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, waiting for a chore in progress."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def keep_house(self) -> None:
        """Forget what has had its day, and measure what is stored."""
        with self._database.write() as session:
            now = now_in(session)
            forget_old_usage(session, (now - USAGE_KEPT_FOR).strftime("%Y-%m-%d"))
        while not self._stopping.is_set() and self._forget_some_audit(now - self._audit_kept_for):
            pass
        measure_storage(self._database)

    def _forget_some_audit(self, before: datetime) -> bool:
        with self._database.write() as session:
            return forget_audit(session, before)

    def _run(self) -> None:
        keep_house_at = time.monotonic()
        while not self._stopping.wait(SETTLE_SECONDS):
            try:
                self._offers.settle()
                if time.monotonic() >= keep_house_at:
                    self.keep_house()
                    keep_house_at = time.monotonic() + HOUSEKEEPING_SECONDS
            except Exception:
                log.exception("a chore failed; it is done again")
