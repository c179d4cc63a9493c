"""Clocks that jump by hours and days: a gateway's, by which no lease is decided, and the database's."""

import signal

import pytest
from clocks import PACKAGE, Clock, library
from ledger import Ledger, slow
from postgres_server import PostgresServer
from sqlalchemy import select
from whole_farm import START_SECONDS, running_farm

from gateway.infra.search_store import search_topic
from gateway.infra.work_leases import WorkLeaseRow

pytestmark = pytest.mark.skipif(
    library() is None, reason=f"{PACKAGE} is not installed: bash deploy/system-packages.sh {PACKAGE}"
)
HOUR = 3600
DAY = 24 * HOUR
SLOW = slow(4)


class ClockedServer(PostgresServer):
    """A PostgreSQL whose host has that clock."""

    def __init__(self, clock):
        self._clock = clock
        super().__init__()

    def _as_nobody_special(self, program, *arguments):
        command = super()._as_nobody_special(program, *arguments)
        place = command.index(str(self._binaries / program))
        # Behind the change of accounts: the library shares memory among those of one account alone.
        return [*command[:place], *self._clock.within, *command[place:]]


@pytest.fixture(scope="module")
def hosts_clock(folder):
    """By which one of the two gateways goes."""
    return Clock(folder / "hosts-clock")


@pytest.fixture(scope="module")
def databases_clock(folder):
    return Clock(folder / "databases-clock")


@pytest.fixture(scope="module")
def farm(folder, hosts_clock, databases_clock):
    with running_farm(folder, lambda: ClockedServer(databases_clock), {"one": hosts_clock.within}) as farm:
        yield farm


@pytest.fixture(autouse=True)
def _true_again(farm, hosts_clock, databases_clock):
    yield
    hosts_clock.set(0)
    databases_clock.set(0)


def drivers(farm, search_id):
    """Which gateways drive the search and which do not."""
    with farm.database.read() as session:
        holder = session.scalar(
            select(WorkLeaseRow.holder).where(WorkLeaseRow.work == search_topic(search_id))
        )
    pid = int((holder or ":0#").partition("#")[0].rpartition(":")[2])
    return [gateway for gateway in farm.gateways if gateway.pid == pid]


def test_a_gateway_whose_clock_jumps_forgets_no_key_and_drives_on(farm, hosts_clock):
    ledger = Ledger(farm, "hosts-clock")
    ledger.start_search()
    ledger.submit(3, source=SLOW)
    farm.tend_until(lambda: ledger.running > 0)
    for jump in (2 * DAY, -2 * DAY, HOUR):
        hosts_clock.set(jump)
        ledger.submit(2, source=SLOW)
        ledger.submit_again(source=SLOW)
        farm.tend_for(3)
    ledger.wait_until_over(START_SECONDS)
    print(dict(ledger.settle_up()))


def test_a_database_whose_clock_jumps_costs_repeated_attempts_at_the_most(farm, databases_clock):
    ledger = Ledger(farm, "databases-clock")
    ledger.start_search()
    for jump in (HOUR, 0, 2 * DAY, -HOUR):
        ledger.submit(3, source=SLOW)
        farm.tend_until(lambda: ledger.running > 0)
        databases_clock.set(jump)
        farm.tend_for(5)
    ledger.wait_until_over(START_SECONDS)
    print(dict(ledger.settle_up()))


def test_a_search_is_taken_over_although_the_clock_was_set_back_as_its_gateway_died(farm, databases_clock):
    ledger = Ledger(farm, "set-back")
    search_id = ledger.start_search()
    farm.tend_until(lambda: drivers(farm, search_id))
    [driver] = drivers(farm, search_id)
    driver.process.send_signal(signal.SIGSTOP)
    databases_clock.set(-DAY)
    driver.kill()
    farm.members.remove(driver)
    try:
        farm.tend_until(lambda: drivers(farm, search_id))
    finally:
        farm.members.append(driver)
    ledger.wait_until_over(START_SECONDS)
    ledger.settle_up()
