"""Of several gateways on one database one does a piece of work, and what it writes too late is not kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.events import append_event, read_events
from gateway.infra.work_leases import WorkLease, WorkLeaseLost, WorkLeaseRow, WorkLeases

LONG = 60.0
SHORT = 0.05


class Gateway:
    """As much of one as holds leases."""

    def __init__(self, url: str, seconds: float = LONG) -> None:
        self.database = Database(url)
        self.leases = WorkLeases(self.database, seconds, "test")

    def write(self, lease: WorkLease, said: str) -> None:
        with lease.fencing(), self.database.write() as session:
            append_event(session, "work", said, {})

    def said(self) -> list[str]:
        return [event.type for event in read_events(self.database, "work", 0)]


@pytest.fixture
def gateways(postgres_url):
    opened = [Gateway(postgres_url) for _ in range(3)]
    yield opened
    for gateway in opened:
        gateway.database.close()


def lapse(gateway: Gateway, lease: WorkLease) -> None:
    """What the time does to a lease that is not renewed."""
    with gateway.database.write() as session:
        row = session.get_one(WorkLeaseRow, lease.work)
        row.expires_at = row.expires_at.replace(year=2020)


def test_the_only_gateway_on_a_state_folder_does_everything(database_url):
    alone = Gateway(database_url)
    lease = alone.leases.take("dig")
    assert lease is not None
    assert alone.leases.take("dig") == lease
    alone.write(lease, "dug")
    alone.leases.require(lease)
    alone.leases.release(lease)
    assert alone.said() == ["dug"]
    alone.database.close()


def test_of_gateways_that_ask_at_once_one_gets_the_work(gateways):
    together = threading.Barrier(len(gateways))

    def take(gateway, work):
        together.wait()
        return gateway.leases.take(work)

    for number in range(10):
        with ThreadPoolExecutor(len(gateways)) as pool:
            taken = list(pool.map(take, gateways, [f"work {number}"] * len(gateways)))
        assert sum(lease is not None for lease in taken) == 1


def test_what_is_renewed_nobody_takes_over(gateways):
    one, other, _ = gateways
    lease = one.leases.take("dig")
    one.leases.renew()
    assert other.leases.take("dig") is None
    assert one.leases.take("dig") == lease
    one.leases.require(lease)


def test_what_is_not_renewed_is_taken_over_and_the_late_writer_is_undone(gateways):
    one, other, _ = gateways
    first = one.leases.take("dig")
    one.write(first, "in time")
    lapse(one, first)
    second = other.leases.take("dig")
    assert second.fence > first.fence
    with pytest.raises(WorkLeaseLost):
        one.write(first, "too late")
    with pytest.raises(WorkLeaseLost):
        one.leases.require(first)
    one.leases.renew()
    one.leases.release(first)
    assert one.leases.take("dig") is None
    other.write(second, "by the other")
    assert other.said() == ["in time", "by the other"]


def test_a_lease_from_before_the_clock_was_set_back_is_taken_over(gateways):
    one, other, _ = gateways
    first = one.leases.take("dig")
    with one.database.write() as session:
        session.get_one(WorkLeaseRow, "dig").expires_at += timedelta(hours=1)
    second = other.leases.take("dig")
    assert second.fence > first.fence
    with pytest.raises(WorkLeaseLost):
        one.write(first, "too late")
    assert one.leases.take("dig") is None


def test_a_gateway_that_stood_still_goes_on_where_nobody_took_over(gateways):
    one, other, _ = gateways
    lease = one.leases.take("dig")
    lapse(one, lease)
    one.write(lease, "still mine")
    one.leases.renew()
    assert other.leases.take("dig") is None
    assert one.said() == ["still mine"]


def test_a_takeover_waits_for_the_transaction_that_came_before_it(gateways):
    one, other, _ = gateways
    lease = one.leases.take("dig")
    lapse(one, lease)
    with ThreadPoolExecutor(1) as pool:
        with one.database.write() as session:
            lease.require(session)
            one.leases.renew()  # waits for nobody
            lapse(one, lease)
            taken = pool.submit(other.leases.take, "dig")
            with suppress(TimeoutError):
                pytest.fail(f"taken over in the middle: {taken.result(timeout=0.5)}")
            append_event(session, "work", "before it", {})
        second = taken.result(timeout=30)
    assert second.fence > lease.fence
    assert other.said() == ["before it"]


def test_what_a_gateway_lets_go_others_have_at_once(gateways):
    one, other, third = gateways
    dug, sown = one.leases.take("dig"), one.leases.take("sow")
    one.leases.start()
    one.leases.release(dug)
    assert other.leases.take("dig") is not None
    assert other.leases.take("sow") is None
    one.leases.stop()
    assert third.leases.take("sow") is not None
    for lease in (dug, sown):
        with pytest.raises(WorkLeaseLost):
            one.write(lease, "too late")


def test_what_could_not_be_let_go_is_with_the_next_renewal(gateways, monkeypatch):
    def away(*_):
        raise StorageUnavailable("the database is away")

    one, other, _ = gateways
    kept, unwanted, wanted_again = (one.leases.take(work) for work in ("dig", "fill", "plant"))
    with monkeypatch.context() as patched:
        patched.setattr(one.database, "write", away)
        for lease in (unwanted, wanted_again):
            with pytest.raises(StorageUnavailable):
                one.leases.release(lease)
        with pytest.raises(StorageUnavailable):
            one.leases.renew()
    assert one.leases.take("plant") == wanted_again
    assert other.leases.take("fill") is None
    one.leases.renew()
    assert other.leases.take("fill") is not None
    for lease in (kept, wanted_again):
        one.leases.require(lease)
        assert other.leases.take(lease.work) is None


def test_leases_are_renewed_while_their_gateway_lives(postgres_url):
    one, other = Gateway(postgres_url, 1.0), Gateway(postgres_url, 1.0)
    lease = one.leases.take("dig")
    one.leases.start()
    waited = threading.Event()
    for _ in range(8):
        waited.wait(0.25)
        assert other.leases.take("dig") is None
    one.leases.require(lease)
    one.leases.stop()
    for gateway in (one, other):
        gateway.database.close()


def test_fences_of_one_piece_of_work_only_grow(postgres_url):
    fences = []
    for _ in range(5):
        gateway = Gateway(postgres_url, SHORT)
        while (lease := gateway.leases.take("dig")) is None:
            pass
        fences.append(lease.fence)
        gateway.database.close()
    assert fences == sorted(set(fences))
