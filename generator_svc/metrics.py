"""What the generator measures of itself, as a page for Prometheus: a process's own, adding up over hosts."""

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from contracts.request_log import Served

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class GeneratorMetrics:
    """Counts requests, and looks at the rest when asked. Thread-safe."""

    def __init__(self, job_states: Callable[[], list[str]]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("route", "method", "status")
        self._requests = Counter(
            "deltanas_generator_http_requests",
            "Requests that were answered.",
            labels,
            registry=self._registry,
        )
        self._seconds = Histogram(
            "deltanas_generator_http_request_seconds",
            "Until the answer began; without requests that asked to wait.",
            labels,
            buckets=_BOUNDS,
            registry=self._registry,
        )
        self._registry.register(_Jobs(job_states))

    def observe_request(self, served: Served) -> None:
        """Count one request."""
        labels = (served.route, served.method, served.status)
        self._requests.labels(*labels).inc()
        if not served.waited:
            self._seconds.labels(*labels).observe(served.seconds)

    def page(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self._registry)


class _Jobs:
    """A collector of the library's kind: fine-tuning jobs by state."""

    def __init__(self, states: Callable[[], list[str]]) -> None:
        self._states = states

    def describe(self) -> list[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Look at the jobs now."""
        family = GaugeMetricFamily("deltanas_generator_fine_tunes", "Jobs by state.", labels=("state",))
        for state, count in sorted(Tally(self._states()).items()):
            family.add_metric((state,), count)
        yield family
