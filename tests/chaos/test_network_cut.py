"""The wire between a host and the rest of its farm is cut for longer than a lease."""

import os
import time

import pytest
from balancer import Balancer
from ledger import Ledger, slow
from whole_farm import LEASE_SECONDS, START_SECONDS
from wires import Wire

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="networks of their own need root")

SLOW = slow(25)
"""It is still at it when the wire is whole again."""
CUT_SECONDS = LEASE_SECONDS + 5


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.remove()


@pytest.fixture
def remote(farm, wire):
    """A further host, at the far end of the wire."""
    gateways = Balancer([str(gateway.home / "g.sock") for gateway in farm.gateways], wire.NEAR)
    broker = Balancer([f"127.0.0.1:{farm.redis.port}"], wire.NEAR)
    host = farm.add_host(
        "remote",
        f"http://{wire.NEAR}:{gateways.port}",
        f"redis://{wire.NEAR}:{broker.port}/0",
        within=wire.within,
    )
    host.start()
    farm.hosts.append(host)
    farm.members.append(host)
    try:
        farm.tend_until(farm.serves)
        yield host
    finally:
        farm.hosts.remove(host)
        farm.members.remove(host)
        host.kill()
        gateways.close()
        broker.close()


def test_a_host_that_is_cut_off_for_longer_than_a_lease_loses_its_attempts_and_counts_nothing_twice(
    farm, wire, remote
):
    ledger = Ledger(farm, "cut")
    ledger.submit(3, source=SLOW)
    farm.tend_until(lambda: ledger.held_by(remote.name) > 0)
    wire.cut()
    begun = time.monotonic()
    farm.tend_until(lambda: ledger.held_by(remote.name) == 0)
    assert time.monotonic() - begun > LEASE_SECONDS / 2, "it lost its attempt for another reason"
    farm.tend_for(max(0.0, CUT_SECONDS - (time.monotonic() - begun)))
    wire.mend()
    ledger.wait_until_over(START_SECONDS)
    ends = ledger.settle_up()
    print(dict(ends))
    assert ends["lost"] >= 1

    # It is one of the farm again: with more to do than the others can hold, it has its share.
    later = Ledger(farm, "after-the-cut")
    later.submit(6, source=SLOW)
    farm.tend_until(lambda: later.held_by(remote.name) > 0)
    later.wait_until_over(START_SECONDS)
    later.settle_up()
