"""How an agent parts with an attempt: its outcome is delivered, or it is given back to the gateway."""

import logging
import time
from collections.abc import Callable
from threading import Event

from sandbox_runner.agent.links import Lease, Rejected, Unreachable

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5
"""Before a report is tried again."""
REPORT_SECONDS = 600.0
"""For so long a report is tried; the lease is lost long before."""
LAST_REPORT_SECONDS = 2.0
"""The same when the agent is to stop."""


def hand_in(lease: Lease, report: Callable[[], None], hurrying: Event) -> None:
    """Report, again and again if need be; a stale outcome is dropped."""
    begin = time.monotonic()
    while True:
        try:
            report()
            return
        except Rejected as rejected:
            logger.info("attempt %s: the report was refused (%s)", lease.attempt_id, rejected.status)
            return
        except Unreachable as error:
            logger.warning("%s", error)
        patience = LAST_REPORT_SECONDS if hurrying.is_set() else REPORT_SECONDS
        if time.monotonic() - begin > patience:
            logger.error("attempt %s: its outcome could not be delivered", lease.attempt_id)
            return
        time.sleep(PAUSE_SECONDS)


def give_back(lease: Lease, release: Callable[[Lease], None]) -> None:
    """Let the gateway offer it again at once, and not as a loss. Unheard, the lease runs out."""
    try:
        release(lease)
    except (Unreachable, Rejected) as error:
        logger.warning("attempt %s could not be given back: %s", lease.attempt_id, error)
