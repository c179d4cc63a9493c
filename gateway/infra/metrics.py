"""What the gateway measures, as a page for Prometheus: of its own process, and of the farm by the database.

One registry for each application, never the library's global one: two gateways in a process do not mix.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection

from contracts.request_log import Served
from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.metrics_families import farm_families, model_families
from gateway.infra.metrics_snapshot import ModelTotals, model_totals, take_snapshot

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PAGE_SECONDS = 1.0
"""For so long a page is given again: asking more often costs nothing."""
MODEL_SECONDS = 60.0
_REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TRANSACTION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)
_BEGUN = "deltanas_begun"


class GatewayMetrics:
    """Counts requests and transactions of this process, and looks at the farm when asked. Thread-safe."""

    def __init__(self, *, by_tenant: bool = False) -> None:
        """`by_tenant`: names of tenants may be labels, a hundred of them at most."""
        self.page_seconds = PAGE_SECONDS
        self._by_tenant = by_tenant
        self._database: Database | None = None
        self._lock = threading.Lock()
        self._page = b""
        self._page_until = 0.0
        self._models: ModelTotals | None = None
        self._models_until = 0.0
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("route", "method", "status")
        self._requests = Counter(
            "deltanas_http_requests", "Requests that this gateway answered.", labels, registry=self._registry
        )
        self._request_seconds = Histogram(
            "deltanas_http_request_seconds",
            "Until the answer began; without requests that asked to wait for news.",
            labels,
            buckets=_REQUEST_BOUNDS,
            registry=self._registry,
        )
        self._transactions = Histogram(
            "deltanas_database_transaction_seconds",
            "Transactions of this gateway, from their beginning; a writer of SQLite has the lock by then.",
            ("kind",),
            buckets=_TRANSACTION_BOUNDS,
            registry=self._registry,
        )
        self._registry.register(_Farm(self._collect))

    def observe_request(self, served: Served) -> None:
        """Count one request."""
        labels = (served.route, served.method, served.status)
        self._requests.labels(*labels).inc()
        if not served.waited:
            self._request_seconds.labels(*labels).observe(served.seconds)

    def watch(self, database: Database) -> None:
        """Time the transactions of this database, and look at the farm in it."""
        self._database = database
        time_transactions(database.engine, lambda kind, s: self._transactions.labels(kind).observe(s))

    def page(self) -> bytes:
        """Everything in the text format; at most a second old."""
        with self._lock:
            if time.monotonic() >= self._page_until:
                self._page = generate_latest(self._registry)
                self._page_until = time.monotonic() + self.page_seconds
            return self._page

    def _collect(self) -> Iterator[Metric]:
        if self._database is None:
            return
        up = GaugeMetricFamily("deltanas_database_up", "1 when this gateway can read its database.")
        try:
            with self._database.read() as session:
                farm = take_snapshot(session, by_tenant=self._by_tenant)
                if self._models is None or time.monotonic() >= self._models_until:
                    self._models = model_totals(session)
                    self._models_until = time.monotonic() + MODEL_SECONDS
        except StorageUnavailable as error:
            log.warning("the farm cannot be measured: %s", error)
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from farm_families(farm)
        yield from model_families(self._models)


class _Farm:
    """A collector of the library's kind."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self.collect = collect

    def describe(self) -> list[Metric]:
        """Nothing in advance: registering must not ask the database."""
        return []


def time_transactions(engine: Engine, observe: Callable[[str, float], Any]) -> None:
    """Call `observe` with `read` or `write` and the seconds of each transaction, from BEGIN to its end."""

    def begun(connection: Connection) -> None:
        connection.info[_BEGUN] = time.perf_counter()

    def ended(connection: Connection) -> None:
        # What the server has ended has lost its notes, and asking for them would hide why.
        if connection.invalidated:
            return
        begin = connection.info.pop(_BEGUN, None)
        if begin is not None:
            writes = connection.get_execution_options().get("deltanas_writes", False)
            observe("write" if writes else "read", time.perf_counter() - begin)

    event.listen(engine, "begin", begun)
    event.listen(engine, "commit", ended)
    event.listen(engine, "rollback", ended)
