"""Delivers webhooks: one thread looks for messages that are due, and each is sent in a thread of its own.

Threads hold nothing that the database does not: a message whose thread was cut off is claimed again, by this
gateway or another, when its lease has run out.
"""

import logging
import threading
import time

from gateway.domain.webhooks import TryOutcome
from gateway.infra.database import Database, StorageUnavailable, utc_now
from gateway.infra.webhook_leases import ClaimedDelivery, WebhookLeases
from gateway.infra.webhook_log import WebhookLog
from gateway.infra.webhook_outbox import WEBHOOKS_TOPIC, host_of
from gateway.infra.webhook_signatures import signed_headers
from gateway.infra.webhook_transport import WebhookTransport

CONCURRENT_DELIVERIES = 32
LOOK_AROUND_SECONDS = 5.0
"""Even without a signal it looks around this often."""
FORGET_EVERY_SECONDS = 3600.0
BREATH_SECONDS = 0.05
"""While there is much to forget, others write between two steps of it."""
STOP_SECONDS = 3.0
"""How long `stop` waits for messages under way; those cut off are sent again."""
SETTLE_TRIES = 5
SETTLE_AGAIN_SECONDS = 2.0

logger = logging.getLogger(__name__)


class WebhookDeliveries:
    """Started and stopped with the gateway."""

    def __init__(self, database: Database, transport: WebhookTransport) -> None:
        self._signals = database.signals
        self._leases = WebhookLeases(database)
        self._log = WebhookLog(database)
        self._transport = transport
        self._stopping = threading.Event()
        self._under_way: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Deliver what is due, and each new message from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new. Returns within about `STOP_SECONDS`."""
        self._stopping.set()
        self._signals.publish([WEBHOOKS_TOPIC])
        deadline = time.monotonic() + STOP_SECONDS
        with self._lock:
            threads = (self._thread, *self._under_way)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        forget_at = 0.0
        with self._signals.in_thread(WEBHOOKS_TOPIC) as bell:
            while not self._stopping.is_set():
                bell.clear()
                wait = LOOK_AROUND_SECONDS
                try:
                    if time.monotonic() >= forget_at and not self._log.forget_old():
                        forget_at = time.monotonic() + FORGET_EVERY_SECONDS
                    wait = self._begin_due()
                    if time.monotonic() >= forget_at:
                        wait = min(wait, BREATH_SECONDS)
                except Exception:
                    logger.exception("could not look for webhooks to deliver; trying again")
                bell.wait(wait)

    def _begin_due(self) -> float:
        """Begin what there is room for; gives the seconds until it is worth looking again."""
        with self._lock:
            free = CONCURRENT_DELIVERIES - len(self._under_way)
        if free <= 0:
            # Whoever ends rings.
            return LOOK_AROUND_SECONDS
        # The more that wait on slow receivers, the fewer each tenant may have waiting.
        claimed = self._leases.claim(free, scarce=free <= CONCURRENT_DELIVERIES // 2)
        for delivery in claimed:
            thread = threading.Thread(
                target=self._deliver, args=(delivery,), name=f"webhook {delivery.id}", daemon=True
            )
            with self._lock:
                self._under_way.add(thread)
            thread.start()
        due = self._leases.seconds_until_due()
        if due is None or due == 0:
            # What is due and was not claimed waits for its turn: whoever ends rings.
            return LOOK_AROUND_SECONDS
        return min(due, LOOK_AROUND_SECONDS)

    def _deliver(self, delivery: ClaimedDelivery) -> None:
        try:
            outcome = self._try(delivery)
            self._settle(delivery, outcome)
        except Exception:
            logger.exception("a webhook delivery broke off; it is taken up again")
        finally:
            with self._lock:
                self._under_way.discard(threading.current_thread())
            self._signals.publish([WEBHOOKS_TOPIC])

    def _try(self, delivery: ClaimedDelivery) -> TryOutcome:
        headers = signed_headers(delivery.message_id, utc_now(), delivery.payload, delivery.secrets)
        begun = time.monotonic()
        try:
            outcome = self._transport.deliver(delivery.url, headers, delivery.payload.encode())
        except Exception:
            # It counts as a try, or one message that nobody foresaw would be tried for ever.
            logger.exception("the gateway failed to deliver a webhook")
            message = "The gateway itself failed; its log says more."
            return TryOutcome(None, "internal_error", message, time.monotonic() - begun)
        told = outcome.as_told_of(host_of(delivery.url))
        if told is not outcome:
            logger.info("the webhook delivery %s was refused: %s", delivery.id, outcome.message)
        return told

    def _settle(self, delivery: ClaimedDelivery, outcome: TryOutcome) -> None:
        """Write the outcome down, also through a moment in which the database is away."""
        for tried in range(SETTLE_TRIES):
            try:
                self._leases.settle(delivery, outcome)
            except StorageUnavailable as error:
                if tried + 1 == SETTLE_TRIES:
                    raise
                logger.warning("the database cannot be used (%s); trying again", error)
                if self._stopping.wait(SETTLE_AGAIN_SECONDS):
                    raise
            else:
                return
