"""Drives unfinished searches, each in a thread of this process, and each at one gateway at a time.

A thread holds nothing that the journal does not: it can be killed at any step. A gateway drives the searches
whose leases it has taken; what another one drives is taken over once that one ceases to renew its leases.
Searches beyond `CONCURRENT_SEARCHES` of a gateway wait, or are taken up by another one; those that wait for
somebody outside let others run meanwhile. Tenants share the places (gateway/domain/search_places.py): a
search that has to make room rests where it stands, and is taken up again like any other.
"""

import logging
import threading
import time
from dataclasses import dataclass, field

from contracts.log_context import log_context
from contracts.proposals import ProposerBlocked
from gateway.domain.quotas import QuotaExceeded
from gateway.domain.search import PauseReason, SearchRecord
from gateway.domain.search_places import NoPlace, Place, in_fair_order, who_makes_room
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


@dataclass(eq=False)
class _Driver:
    """One search that this gateway drives."""

    search_id: str
    tenant: str
    lease: WorkLease
    began: float = field(default_factory=time.monotonic)
    bell: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    is_idle: bool = False
    """Whether it waits for somebody outside, so that others may run."""
    makes_room: bool = False

    @property
    def place(self) -> Place:
        return Place(self.search_id, self.tenant, time.monotonic() - self.began)


class Conductor:
    """Started and stopped with the gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._signals = services.database.signals
        self._indexes = SharedIndexes(services.database, services.generator.baselines, services.filter)
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="conductor", daemon=True)
        self._drivers: dict[str, _Driver] = {}
        self._turned_away: dict[str, float] = {}
        """When a search made room for another."""

    def start(self) -> None:
        """Take up unfinished searches that nobody drives, and each new one from now on."""
        self._supervisor.start()

    def stop(self) -> None:
        """Let every search rest where it stands. Returns within about `STOP_SECONDS`."""
        self._stopping.set()
        drivers = dict(self._drivers)
        self._signals.publish([CONDUCTOR_TOPIC, *(search_topic(name) for name in drivers)])
        deadline = time.monotonic() + STOP_SECONDS
        for thread in (self._supervisor, *(driver.thread for driver in drivers.values())):
            if thread is not None:
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
        self._drivers = {name: d for name, d in self._drivers.items() if d.thread and d.thread.is_alive()}
        unfinished = {search.id: search for search in self._services.searches.unfinished()}
        self._turned_away = {name: at for name, at in self._turned_away.items() if name in unfinished}
        waiting = [(name, search.tenant) for name, search in unfinished.items() if name not in self._drivers]
        places = [driver.place for driver in self._drivers.values() if not driver.makes_room]
        for name in in_fair_order(waiting, places, self._turned_away):
            if self._stopping.is_set():
                return
            self._take_up(unfinished[name])

    def _take_up(self, search: SearchRecord) -> None:
        """Drive a search, unless its tenant has the places that it is due, or another gateway drives it."""
        staying = [driver for driver in self._drivers.values() if not driver.makes_room]
        try:
            for bound, bounded in (
                (CONCURRENT_SEARCHES, [driver for driver in staying if not driver.is_idle]),
                (MOST_SEARCHES, staying),
            ):
                rests = who_makes_room(search.tenant, [driver.place for driver in bounded], bound)
                if rests is not None:
                    break
        except NoPlace:
            return
        lease = self._services.leases.take(search_topic(search.id))
        if lease is None:
            return
        if rests is not None:
            self._turn_away(self._drivers[rests.search])
        driver = _Driver(search.id, search.tenant, lease)
        driver.thread = threading.Thread(
            target=self._drive, args=(driver,), name=f"search {search.id}", daemon=True
        )
        self._drivers[search.id] = driver
        driver.thread.start()

    def _turn_away(self, driver: _Driver) -> None:
        """Have a search rest after the step that it is in. Until then one more is driven than has a place."""
        logger.info("search %s makes room for another tenant's", driver.search_id)
        self._turned_away[driver.search_id] = time.monotonic()
        driver.makes_room = True
        driver.bell.set()

    def _drive(self, driver: _Driver) -> None:
        services, search_id = self._services, driver.search_id
        quotas = services.quotas
        journal = RerunJournal(
            services.database, services.evaluations, search_id, quotas.has_room, quotas.require_not_full
        )
        run = SearchRun(journal, services.generator, services.filter, self._indexes)
        try:
            with (
                log_context(request_id=search_id, search_id=search_id),
                self._signals.subscribe(search_topic(search_id), driver.bell.set),
                self._signals.subscribe(search_evaluations_topic(search_id), driver.bell.set),
                driver.lease.fencing(),
            ):
                self._advance_to_the_end(run, journal, driver)
        except SearchNotRunning:
            logger.info("search %s rests", search_id)
        except WorkLeaseLost:
            logger.info("search %s is driven by another gateway", search_id)
        except Exception:
            logger.exception("search %s stopped; it is taken up again", search_id)
            self._stopping.wait(LONGEST_DELAY_SECONDS)
        finally:
            self._let_go(driver.lease)
            self._signals.publish([CONDUCTOR_TOPIC])

    def _let_go(self, lease: WorkLease) -> None:
        try:
            self._services.leases.release(lease)
        except StorageUnavailable:
            logger.info("the lease of %s is let go once the database is back", lease.work)

    def _advance_to_the_end(self, run: SearchRun, journal: RerunJournal, driver: _Driver) -> None:
        """Unless this gateway stops, or the search has to make room."""
        failures = 0
        held_up = HeldUpWait()
        while not self._stopping.is_set() and not driver.makes_room:
            driver.bell.clear()
            asks = not held_up.seconds_left()
            try:
                self._services.leases.require(driver.lease)
                if asks:
                    self._services.quotas.require_not_full(driver.tenant)
                if run.advance(asks, held_up.times):
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
            except QuotaExceeded as error:
                journal.pause(_full_storage(error))
                return
            except ServiceUnavailable as error:
                failures += 1
                self._wait_for_service(journal, driver, error, failures)
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
            self._rest(driver, run.waits_for is not None, held_up)

    def _rest(self, driver: _Driver, for_agents: bool, held_up: HeldUpWait) -> None:
        """Until there is news, or it is time to look around or to ask the proposer again."""
        left = held_up.seconds_left()
        # It may last for days, and keeps nobody else from running.
        driver.is_idle = bool(for_agents or left)
        if not driver.makes_room:
            driver.bell.wait(min(LOOK_AROUND_SECONDS, left or LOOK_AROUND_SECONDS))
        driver.is_idle = False

    def _wait_for_service(
        self, journal: RerunJournal, driver: _Driver, error: ServiceUnavailable, failures: int
    ) -> None:
        """Wait, longer with every failure in a row, until the service says that it is ready."""
        client = self._services.filter if error.service == "filter" else self._services.generator
        reason = str(error)
        while True:
            journal.wait_for(reason)
            if self._stopping.wait(_delay(failures)) or driver.makes_room:
                return
            problems = client.readiness_problems()
            if not problems:
                return
            reason = "; ".join(problems)
            failures += 1


def _pause_reason(blocked: ProposerBlocked) -> PauseReason:
    return PauseReason(blocked.code, blocked.message, blocked.remedy)


def _full_storage(error: QuotaExceeded) -> PauseReason:
    told = f"The quota {error.name.value} is {error.limit}: {error.used} are used, so nothing is proposed."
    return PauseReason(
        "storage_full", told, "Remove data sets or adapters, or ask the operator for more, and resume it."
    )


def _told(error: ServiceRefused) -> str:
    document = error.document
    told = str(document.get("detail") or f"it answered {error.status}")[:2000]
    field = f" ({document['field']}: {document.get('value')!r})"[:300] if document.get("field") else ""
    return f"The {error.service} refuses what this search asks of it: {told}{field}"


def _delay(failures: int) -> float:
    return growing_delay(failures, FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS)
