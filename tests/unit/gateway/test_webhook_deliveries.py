"""Deliveries as threads of a gateway: slow receivers keep to themselves, and what was cut off comes again."""

import threading
from contextlib import ExitStack
from ipaddress import ip_network

import pytest
from fresh_databases import sqlite_url
from webhook_receivers import answering, receiver

from gateway.domain.webhook_targets import TargetRules
from gateway.domain.webhooks import DeliveryState
from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.webhook_endpoints import WebhookEndpoints
from gateway.infra.webhook_leases import MAX_OF_TENANT, WebhookLeases
from gateway.infra.webhook_log import WebhookLog
from gateway.infra.webhook_transport import LookupFailed, WebhookTransport
from gateway.loop.webhook_deliveries import WebhookDeliveries

RULES = TargetRules(plain_http=True, ports=frozenset(range(1, 65536)), networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def database(tmp_path):
    opened = Database(sqlite_url(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def begin(database):
    """Start to deliver; ended with the test."""
    with ExitStack() as stack:

        def start() -> WebhookDeliveries:
            deliveries = WebhookDeliveries(database, WebhookTransport(RULES))
            deliveries.start()
            stack.callback(deliveries.stop)
            return deliveries

        yield start


def send_tests(database, tenant: str, url: str, count: int) -> list[str]:
    endpoints = WebhookEndpoints(database)
    with database.write() as session:
        endpoint, _ = endpoints.create(session, tenant, url, "", [])
    return [endpoints.test(endpoint.id, tenant) for _ in range(count)]


def state_of(database, tenant: str, delivery_id: str) -> DeliveryState:
    return WebhookLog(database).read(delivery_id, tenant).state


@pytest.mark.parametrize("found", [["10.0.0.1"], ["1.1.1.1", "::1"], [], LookupFailed("NXDOMAIN")])
def test_the_log_of_deliveries_does_not_tell_inner_names_from_unknown_ones(database, found, caplog):
    def resolve(_host, _port):
        if isinstance(found, LookupFailed):
            raise found
        return found

    caplog.set_level("INFO")
    deliveries = WebhookDeliveries(database, WebhookTransport(TargetRules(), resolve))
    (delivery,) = send_tests(database, "oak", "https://wiki.corp.example/hook", 1)
    deliveries.start()
    until(lambda: WebhookLog(database).read(delivery, "oak").log)
    deliveries.stop()
    (tried,) = WebhookLog(database).read(delivery, "oak").log
    assert {name: value for name, value in tried.items() if name != "at"} == {
        "seconds": 0.0,
        "status": None,
        "error": "webhook_address_refused",
        "message": "wiki.corp.example must resolve to public addresses only.",
        "excerpt": "",
    }
    assert delivery in caplog.text, "the operator may know why"


def until(condition) -> None:
    for _ in range(2400):
        if condition():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it never came to that")


def test_receivers_that_never_answer_keep_nobody_else_waiting(database, begin):
    release = threading.Event()
    with ExitStack() as stack:
        hung = [
            stack.enter_context(receiver(lambda _: release.wait(120), address="127.0.0.2")) for _ in range(3)
        ]
        good = stack.enter_context(receiver(answering()))
        for number, one in enumerate(hung):
            send_tests(database, f"slow{number}", f"http://127.0.0.2:{one.port}/", 30)
        begin()
        until(lambda: all(one.connections for one in hung))
        wanted = send_tests(database, "good", f"http://127.0.0.1:{good.port}/", 5)
        until(lambda: all(state_of(database, "good", one) == "delivered" for one in wanted))
        assert all(one.connections <= MAX_OF_TENANT for one in hung)
        release.set()


def test_two_gateways_share_the_work_and_send_nothing_twice(database, begin):
    with receiver(answering()) as found:
        begin()
        begin()
        wanted = send_tests(database, "oak", f"http://127.0.0.1:{found.port}/", 20)
        until(lambda: all(state_of(database, "oak", one) == "delivered" for one in wanted))
    ids = [line for raw in found.requests for line in raw.split(b"\r\n") if line.startswith(b"webhook-id")]
    assert len(ids) == len(set(ids)) == 20


def test_an_outcome_is_written_down_when_the_database_is_back(database, begin, monkeypatch):
    real, failures = WebhookLeases.settle, iter([True, True, False])

    def settle(self, claimed, outcome):
        if next(failures, False):
            raise StorageUnavailable("the disk is full")
        real(self, claimed, outcome)

    monkeypatch.setattr(WebhookLeases, "settle", settle)
    monkeypatch.setattr("gateway.loop.webhook_deliveries.SETTLE_AGAIN_SECONDS", 0.01)
    with receiver(answering()) as found:
        begin()
        (wanted,) = send_tests(database, "oak", f"http://127.0.0.1:{found.port}/", 1)
        until(lambda: state_of(database, "oak", wanted) == "delivered")
    assert found.connections == 1


def test_a_gateway_that_stops_waits_for_no_receiver(database, begin):
    release = threading.Event()
    with receiver(lambda _: release.wait(120)) as hung:
        deliveries = begin()
        (wanted,) = send_tests(database, "oak", f"http://127.0.0.1:{hung.port}/", 1)
        until(lambda: hung.requests)
        deliveries.stop()
        assert state_of(database, "oak", wanted) == "pending"
        release.set()


def test_an_error_that_nobody_foresaw_counts_as_a_try(database, begin, monkeypatch):
    monkeypatch.setattr(WebhookTransport, "deliver", lambda *_: 1 / 0)
    begin()
    (wanted,) = send_tests(database, "oak", "http://127.0.0.1:9/", 1)
    until(lambda: WebhookLog(database).read(wanted, "oak").tries == 1)
    record = WebhookLog(database).read(wanted, "oak")
    assert (record.state, record.log[0]["error"]) == ("pending", "internal_error")
    assert record.due_at
