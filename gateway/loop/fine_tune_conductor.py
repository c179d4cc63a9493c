"""Two threads of the gateway: one makes chats and hands fine-tuning jobs in, the other follows them.

Of all gateways one does each of the two.
"""

import logging
import threading
import time
from collections.abc import Callable

from gateway.infra.database import StorageUnavailable
from gateway.infra.fine_tune_journal import FineTuneJournal
from gateway.infra.fine_tunes import FINE_TUNES_TOPIC
from gateway.infra.work_leases import WorkLeaseLost
from gateway.loop.fine_tune_chats import FineTuneChats
from gateway.loop.fine_tune_driver import Follower, Stopped, Submitter
from gateway.services import Services

LOOK_AROUND_SECONDS = 5.0
"""Even without a signal, both look around this often."""
FOLLOW_SECONDS = 1.0
"""How old the progress of a running job may be."""
STOP_SECONDS = 5.0
"""How long `stop` waits for steps in flight; those cut off are taken again at the next start."""

logger = logging.getLogger(__name__)


class FineTuneConductor:
    """Takes up every job that is not settled, and each new one from now on."""

    def __init__(self, services: Services) -> None:
        self._leases = services.leases
        self._signals = services.database.signals
        self._stopping = threading.Event()
        journal = FineTuneJournal(services.database)
        chats = FineTuneChats(
            journal,
            services.baselines,
            services.filter,
            services.generator,
            services.pair_makings,
            services.settings.home,
        )
        lends = services.settings.fine_tune_agents
        submitter = Submitter(journal, services.fine_tuning, chats, self._stopping.is_set, lends=lends)
        follower = Follower(
            journal, services.fine_tuning, services.fine_tune_attempts, services.training_hosts
        )
        self._threads = [
            threading.Thread(target=self._repeat, args=(work, advance), name=work, daemon=True)
            for work, advance in (("fine-tune chats", submitter.advance), ("fine-tunes", follower.advance))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let everything rest where it stands. Returns within about `STOP_SECONDS`."""
        self._stopping.set()
        self._signals.publish([FINE_TUNES_TOPIC])
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _repeat(self, work: str, advance: Callable[[], bool | None]) -> None:
        """Take steps; soon again where something is going on elsewhere, else when there is news."""
        with self._signals.in_thread(FINE_TUNES_TOPIC) as bell:
            while not self._stopping.is_set():
                bell.clear()
                goes_on = self._attempt(work, advance)
                bell.wait(FOLLOW_SECONDS if goes_on else LOOK_AROUND_SECONDS)

    def _attempt(self, work: str, advance: Callable[[], bool | None]) -> bool:
        """Take steps, unless another gateway does; when one failed they are taken again after a rest."""
        try:
            lease = self._leases.take(work)
            if lease is None:
                return False
            with lease.fencing():
                return bool(advance())
        except Stopped:
            return False
        except WorkLeaseLost:
            logger.info("another gateway goes on with the %s", work)
        except StorageUnavailable as error:
            logger.warning("the database cannot be used (%s); trying again", error)
        except Exception:
            logger.exception("a step of a fine-tune failed; trying again")
        self._stopping.wait(LOOK_AROUND_SECONDS)
        return False
