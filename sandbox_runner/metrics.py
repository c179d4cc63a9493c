"""What the runner measures of itself, as a page for Prometheus: a process's own, which adds up over hosts."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from contracts.request_log import Served
from sandbox_runner.attempt_table import AttemptTable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RunnerMetrics:
    """Counts requests, and looks at the rest when asked. Thread-safe."""

    def __init__(self, attempts: AttemptTable, reasons_not_ready: Callable[[], list[str]]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("route", "method", "status")
        self._requests = Counter(
            "deltanas_runner_http_requests", "Requests answered.", labels, registry=self._registry
        )
        self._seconds = Histogram(
            "deltanas_runner_http_request_seconds",
            "Until the answer began; without requests that asked to wait.",
            labels,
            buckets=_BOUNDS,
            registry=self._registry,
        )
        self._gauge("slots", "Attempts that run at a time at most.", lambda: attempts.slots)
        self._gauge("free_slots", "Those not taken.", lambda: attempts.free)
        self._gauge("ready", "1 when a sandbox backend has passed.", lambda: not reasons_not_ready())

    def _gauge(self, name: str, help_text: str, look: Callable[[], float]) -> None:
        Gauge(f"deltanas_runner_{name}", help_text, registry=self._registry).set_function(look)

    def observe_request(self, served: Served) -> None:
        """Count one request."""
        labels = (served.route, served.method, served.status)
        self._requests.labels(*labels).inc()
        if not served.waited:
            self._seconds.labels(*labels).observe(served.seconds)

    def page(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self._registry)
