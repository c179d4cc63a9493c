"""Drives unfinished searches, each in a thread of this process, and each at one gateway at a time.

A thread holds nothing that the journal does not: it can be killed at any step. A gateway drives the searches
whose leases it has taken; what another one drives is taken over once that one ceases to renew its leases.
Searches beyond `CONCURRENT_SEARCHES` of a gateway wait, oldest first, or are taken up by another one; those
that wait for somebody outside let others run meanwhile.
"""

import logging
import threading
import time

from contracts.log_context import log_context
from contracts.proposals import ProposerBlocked
from gateway.domain.search import PauseReason
from gateway.infra.database import StorageUnavailable
from gateway.infra.evaluation_transitions import search_evaluations_topic
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.rerun_journal import RerunJournal
from gateway.infra.search_store import CONDUCTOR_TOPIC, search_topic
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.slot_journal import SearchNotRunning
from gateway.infra.work_leases import WorkLease, WorkLeaseLost
from gateway.loop.delays import HeldUpWait, growing_delay
from gateway.loop.novelty_indexes import SharedIndexes
from gateway.loop.search_run import SearchRun
from gateway.services import Services

CONCURRENT_SEARCHES = 16
MOST_SEARCHES = 128
"""Those included that wait for an outside agent, or for what their proposer depends on."""
LOOK_AROUND_SECONDS = 5.0
"""Even without a signal, the conductor and its searches look around this often."""
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 15.0
UNEXPECTED_ERRORS = 10
"""A search fails after this many errors in a row that nobody foresaw."""
STOP_SECONDS = 5.0
"""How long `stop` waits for steps in flight; those cut off are taken again at the next start."""

logger = logging.getLogger(__name__)


class Conductor:
    """Started and stopped with the gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._signals = services.database.signals
        self._indexes = SharedIndexes(services.database, services.generator.baselines, services.filter)
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="conductor", daemon=True)
        self._drivers: dict[str, threading.Thread] = {}
        self._idle: set[str] = set()
        """Searches that wait for somebody outside."""

    def start(self) -> None:
        """Take up unfinished searches that nobody drives, and each new one from now on."""
        self._supervisor.start()

    def stop(self) -> None:
        """Let every search rest where it stands. Returns within about `STOP_SECONDS`."""
        self._stopping.set()
        drivers = dict(self._drivers)
        self._signals.publish([CONDUCTOR_TOPIC, *(search_topic(name) for name in drivers)])
        deadline = time.monotonic() + STOP_SECONDS
        for thread in (self._supervisor, *drivers.values()):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _supervise(self) -> None:
        with self._signals.in_thread(CONDUCTOR_TOPIC) as bell:
            while not self._stopping.is_set():
                bell.clear()
                try:
                    self._launch_drivers()
                except Exception:
                    logger.exception("could not look for searches to take up; trying again")
                bell.wait(LOOK_AROUND_SECONDS)

    def _launch_drivers(self) -> None:
        self._drivers = {name: thread for name, thread in self._drivers.items() if thread.is_alive()}
        for search in self._services.searches.unfinished():
            busy = len(self._drivers) - len(self._idle)
            if busy >= CONCURRENT_SEARCHES or len(self._drivers) >= MOST_SEARCHES or self._stopping.is_set():
                return
            if search.id in self._drivers:
                continue
            lease = self._services.leases.take(search_topic(search.id))
            if lease is not None:
                thread = threading.Thread(
                    target=self._drive, args=(search.id, lease), name=f"search {search.id}", daemon=True
                )
                self._drivers[search.id] = thread
                thread.start()

    def _drive(self, search_id: str, lease: WorkLease) -> None:
        services = self._services
        journal = RerunJournal(services.database, services.evaluations, search_id, services.quotas.has_room)
        run = SearchRun(journal, services.generator, services.filter, self._indexes)
        bell = threading.Event()
        try:
            with (
                log_context(request_id=search_id, search_id=search_id),
                self._signals.subscribe(search_topic(search_id), bell.set),
                self._signals.subscribe(search_evaluations_topic(search_id), bell.set),
                lease.fencing(),
            ):
                self._advance_to_the_end(run, journal, lease, bell)
        except SearchNotRunning:
            logger.info("search %s rests", search_id)
        except WorkLeaseLost:
            logger.info("search %s is driven by another gateway", search_id)
        except Exception:
            logger.exception("search %s stopped; it is taken up again", search_id)
            self._stopping.wait(LONGEST_DELAY_SECONDS)
        finally:
            self._let_go(lease)
            self._signals.publish([CONDUCTOR_TOPIC])

    def _let_go(self, lease: WorkLease) -> None:
        try:
            self._services.leases.release(lease)
        except StorageUnavailable:
            logger.info("the lease of %s lapses by itself", lease.work)

    def _advance_to_the_end(
        self, run: SearchRun, journal: RerunJournal, lease: WorkLease, bell: threading.Event
    ) -> None:
        failures = 0
        held_up = HeldUpWait()
        while not self._stopping.is_set():
            bell.clear()
            asks = not held_up.seconds_left()
            try:
                self._services.leases.require(lease)
                if run.advance(asks):
                    return
                if asks:
                    journal.wait_for(run.waits_for)
                    held_up = HeldUpWait()
                failures = 0
            except (SearchNotRunning, WorkLeaseLost):
                raise
            except ProposerHeldUp as error:
                if not error.blocked.retryable:
                    journal.pause(_pause_reason(error.blocked))
                    return
                held_up = held_up.longer(error.blocked)
                journal.wait_for(error.blocked.message, error.blocked.code)
            except ServiceUnavailable as error:
                failures += 1
                self._wait_for_service(journal, error, failures)
                continue
            except StorageUnavailable as error:
                # The search is sound; only its journal cannot be written. A full disk may last for hours.
                logger.warning("the database cannot be used (%s); trying again", error)
                failures += 1
                self._stopping.wait(_delay(failures))
                continue
            except ServiceRefused as error:
                journal.fail(_told(error))
                return
            except Exception as error:
                failures += 1
                logger.exception("an unexpected error in a search; trying again")
                if failures >= UNEXPECTED_ERRORS:
                    journal.fail(f"The platform failed {failures} times in a row: {type(error).__name__}.")
                    return
                self._stopping.wait(_delay(failures))
                continue
            self._rest(journal.search_id, bell, run.waits_for is not None, held_up)

    def _rest(self, search_id: str, bell: threading.Event, for_agents: bool, held_up: HeldUpWait) -> None:
        """Until there is news, or it is time to look around or to ask the proposer again."""
        left = held_up.seconds_left()
        if for_agents or left:
            # It may last for days, and keeps nobody else from running.
            self._idle.add(search_id)
        bell.wait(min(LOOK_AROUND_SECONDS, left or LOOK_AROUND_SECONDS))
        self._idle.discard(search_id)

    def _wait_for_service(self, journal: RerunJournal, error: ServiceUnavailable, failures: int) -> None:
        """Wait, longer with every failure in a row, until the service says that it is ready."""
        client = self._services.filter if error.service == "filter" else self._services.generator
        reason = str(error)
        while True:
            journal.wait_for(reason)
            if self._stopping.wait(_delay(failures)):
                return
            problems = client.readiness_problems()
            if not problems:
                return
            reason = "; ".join(problems)
            failures += 1


def _pause_reason(blocked: ProposerBlocked) -> PauseReason:
    return PauseReason(blocked.code, blocked.message, blocked.remedy)


def _told(error: ServiceRefused) -> str:
    document = error.document
    told = str(document.get("detail") or f"it answered {error.status}")[:2000]
    field = f" ({document['field']}: {document.get('value')!r})"[:300] if document.get("field") else ""
    return f"The {error.service} refuses what this search asks of it: {told}{field}"


def _delay(failures: int) -> float:
    return growing_delay(failures, FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS)
