"""Two threads of the gateway: one imports reference networks, the other drives smoke runs.

Of all gateways one drives the smoke runs. An import is done by the gateway that has its file, one at a time.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from gateway.infra.baseline_import_journal import ImportJournal
from gateway.infra.baseline_imports import IMPORTS_TOPIC
from gateway.infra.baseline_smokes import SMOKE_RUNS_TOPIC
from gateway.infra.database import StorageUnavailable
from gateway.infra.evaluation_transitions import evaluation_topic
from gateway.infra.work_leases import WorkLeaseLost
from gateway.loop.baseline_import import BaselineImporter, Stopped
from gateway.loop.baseline_smoke import SmokeDriver
from gateway.services import Services

LOOK_AROUND_SECONDS = 5.0
"""Even without a signal, both look around this often."""
IMPORTS = "baseline-imports"
SMOKE_RUNS = "smoke-runs"
STOP_SECONDS = 5.0
"""How long `stop` waits for steps in flight; those cut off are taken again at the next start."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class BaselineConductor:
    """Takes up every open import and smoke run, and each new one from now on."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._signals = services.database.signals
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in (
                (self._import, "baseline imports"),
                (self._drive_smoke_runs, "baseline smoke runs"),
            )
        ]

    def start(self) -> None:
        """Begin. Uploads that were cut off are removed first, before new ones can come in."""
        services = self._services
        open_imports = ImportJournal(services.database).open_imports()
        services.baseline_spool.discard_all_but(record.id for record in open_imports)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let everything rest where it stands. Returns within about `STOP_SECONDS`."""
        self._stopping.set()
        self._signals.publish([IMPORTS_TOPIC, SMOKE_RUNS_TOPIC])
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _import(self) -> None:
        services = self._services
        importer = BaselineImporter(
            ImportJournal(services.database),
            services.baseline_spool,
            services.generator,
            self._stopping,
            is_one_of_many=services.database.is_shared,
        )
        with self._signals.in_thread(IMPORTS_TOPIC) as bell:
            while not self._stopping.is_set():
                bell.clear()
                # The next import may be another gateway's: nobody keeps them to himself.
                if not self._attempt(IMPORTS, importer.import_next, keeps=False):
                    bell.wait(LOOK_AROUND_SECONDS)

    def _drive_smoke_runs(self) -> None:
        services = self._services
        driver = SmokeDriver(
            services.database,
            services.baselines,
            services.evaluations,
            services.quotas,
        )
        awaited: list[str] = []
        while not self._stopping.is_set():
            with ExitStack() as stack:
                bell = stack.enter_context(self._signals.in_thread(SMOKE_RUNS_TOPIC))
                for evaluation_id in awaited:
                    topic = evaluation_topic(evaluation_id)
                    stack.enter_context(self._signals.subscribe(topic, bell.set))
                # Subscribed first, looked second: no end of an evaluation falls between.
                found = self._attempt(SMOKE_RUNS, driver.advance)
                if found == awaited or not found:
                    bell.wait(LOOK_AROUND_SECONDS)
                awaited = found or []

    def _attempt(self, work: str, step: Callable[[], T], *, keeps: bool = True) -> T | None:
        """Take a step; None where another gateway does, or, after a rest, when it failed: it is taken again.

        Unless one `keeps` the work to himself, others may go on with it now.
        """
        leases = self._services.leases
        try:
            lease = leases.take(work)
            if lease is None:
                return None
            with lease.fencing():
                found = step()
            if not keeps:
                leases.release(lease)
            return found
        except Stopped:
            return None
        except WorkLeaseLost:
            logger.info("another gateway goes on with the %s", work)
        except StorageUnavailable as error:
            logger.warning("the database cannot be used (%s); trying again", error)
        except Exception:
            logger.exception("a step of the baselines' conductor failed; trying again")
        self._stopping.wait(LOOK_AROUND_SECONDS)
        return None
