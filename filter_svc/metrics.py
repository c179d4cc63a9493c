"""What the filter measures of itself, as a page for Prometheus: a process's own, which adds up over hosts."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

from contracts.request_log import Served

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class FilterMetrics:
    """Counts requests, and looks at the rest when asked. Thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("route", "method", "status")
        self._requests = Counter(
            "deltanas_filter_http_requests", "Requests answered.", labels, registry=self._registry
        )
        self._seconds = Histogram(
            "deltanas_filter_http_request_seconds",
            "Until the answer began; without requests that asked to wait.",
            labels,
            buckets=_BOUNDS,
            registry=self._registry,
        )

    def observe_request(self, served: Served) -> None:
        """Count one request."""
        labels = (served.route, served.method, served.status)
        self._requests.labels(*labels).inc()
        if not served.waited:
            self._seconds.labels(*labels).observe(served.seconds)

    def page(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self._registry)
