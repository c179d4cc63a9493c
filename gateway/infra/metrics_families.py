"""A snapshot of the farm as families of the Prometheus exposition format. Pure.

Labels are kinds, states, reasons and the operator's own names of hosts: never an id, never a caller's word.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.infra.metrics_snapshot import ModelTotals, Snapshot
from gateway.infra.tallies import BOUNDS, ENDLESS, FINISHED, QUEUED, RUN, SUM, Totals

_POOL = ("kind", "device")
_ROLES = frozenset({"proposal", "repair", "diagnosis", "check"})

Values = Mapping[Any, float]
"""By the values of the labels, in their order."""


def farm_families(farm: Snapshot) -> Iterator[Metric]:
    """What every gateway of a farm says alike: take the greatest, never the sum."""
    yield _gauge("deltanas_queue_attempts", "Attempts that wait to be claimed.", _POOL, farm.queued)
    yield _gauge(
        "deltanas_queue_oldest_seconds", "Age of the oldest waiting attempt.", _POOL, farm.oldest_seconds
    )
    yield _gauge("deltanas_attempts_leased", "Attempts that agents hold now.", _POOL, farm.leased)
    if farm.queued_by_tenant:
        yield _gauge(
            "deltanas_tenant_queue_attempts",
            "Waiting attempts by tenant.",
            ("tenant",),
            _one(farm.queued_by_tenant),
        )
    yield from _evaluations(farm.ended)
    yield from _agents(farm)
    yield _gauge("deltanas_searches", "Searches by state.", ("state",), _one(farm.searches))
    yield _gauge(
        "deltanas_searches_held_up",
        "Searches that wait for a service, or are paused until somebody mends something.",
        ("reason",),
        _one(farm.held_up),
    )
    yield _gauge(
        "deltanas_search_open_slots", "Slots of searches that go on.", ("state",), _one(farm.open_slots)
    )
    yield _counter("deltanas_search_cycles", "Cycles closed.", (), {(): farm.closed_cycles})
    yield _gauge("deltanas_fine_tunes", "Fine-tuning jobs by state.", ("state",), _one(farm.fine_tunes))
    lent = farm.lent_training
    waits = {("queued",): lent.queued, ("leased",): lent.leased}
    yield _gauge(
        "deltanas_fine_tune_attempts",
        "Fine-tunes that wait for a host, or are trained by one.",
        ("state",),
        waits,
    )
    yield _gauge(
        "deltanas_fine_tune_oldest_seconds",
        "Age of the oldest fine-tune that waits for a host.",
        (),
        {(): lent.oldest_seconds},
    )
    yield _gauge("deltanas_training_hosts", "Live agents whose hosts train.", (), {(): lent.hosts})
    yield _gauge(
        "deltanas_webhook_deliveries", "Webhook messages by state.", ("state",), _one(farm.deliveries)
    )
    yield _gauge(
        "deltanas_webhook_overdue_seconds",
        "Age of the oldest message that is due.",
        (),
        {(): farm.overdue_seconds},
    )


def model_families(models: ModelTotals) -> Iterator[Metric]:
    """What language models took, for the farm as a whole."""
    calls: dict[tuple[str, ...], float] = {}
    for role, count in models.calls_by_role.items():
        known = (role if role in _ROLES else "other",)
        calls[known] = calls.get(known, 0) + count
    yield _counter("deltanas_model_calls", "Calls of language models.", ("role",), calls)
    tokens = {("prompt",): models.prompt_tokens, ("completion",): models.completion_tokens}
    yield _counter("deltanas_model_tokens", "Tokens that models read and wrote.", ("direction",), tokens)
    yield _counter("deltanas_model_cost_usd", "What endpoints said it cost.", (), {(): models.cost_usd})
    yield _counter("deltanas_model_seconds", "Time spent in calls of models.", (), {(): models.seconds})


def _evaluations(ended: Totals) -> Iterator[Metric]:
    counts = {labels: count for (metric, labels), count in ended.items() if metric == FINISHED}
    yield _counter(
        "deltanas_evaluations_finished",
        "Evaluations that ended, by state and reason of failure.",
        (*_POOL, "state", "reason"),
        counts,
    )
    for metric, name, help_text in (
        (QUEUED, "deltanas_evaluation_queued_seconds", "From acceptance to the first claim."),
        (RUN, "deltanas_evaluation_run_seconds", "From the first claim to the end."),
    ):
        yield _histogram(name, help_text, {k: v for (m, k), v in ended.items() if m == metric})


def _agents(farm: Snapshot) -> Iterator[Metric]:
    agents = farm.agents.items()
    yield _gauge("deltanas_agents", "Live agents.", (), {(): len(farm.agents)})
    for name, help_text, values in (
        ("slots", "Attempts that a host runs at a time.", {k: a.slots for k, a in agents}),
        (
            "free_slots",
            "Those for which nothing runs or is on its way.",
            {k: a.free_slots for k, a in agents},
        ),
        ("gpus", "GPUs that a host offers.", {k: a.gpus for k, a in agents}),
        ("lent_gpus", "Those that an attempt has.", {k: a.lent_gpus for k, a in agents}),
        ("warm_sandboxes", "Sandboxes that wait, imported.", {k: a.warm_sandboxes for k, a in agents}),
        ("can_run", "1 where a sandbox backend has passed its probe.", {k: a.can_run for k, a in agents}),
    ):
        yield _gauge(f"deltanas_agent_{name}", help_text, ("agent",), _one(values))


def _one(values: Mapping[str, float]) -> Values:
    return {(label,): value for label, value in values.items()}


def _gauge(name: str, help_text: str, labels: tuple[str, ...], values: Values) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for given, value in sorted(values.items()):
        family.add_metric(given, float(value))
    return family


def _counter(name: str, help_text: str, labels: tuple[str, ...], values: Values) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for given, value in sorted(values.items()):
        family.add_metric(given, float(value))
    return family


def _histogram(name: str, help_text: str, values: Values) -> Metric:
    family = HistogramMetricFamily(name, help_text, labels=_POOL)
    for pool in sorted({labels[:-1] for labels in values}):
        family.add_metric(pool, list(_cumulated(values, pool)), values.get((*pool, SUM), 0.0))
    return family


def _cumulated(values: Values, pool: tuple[str, ...]) -> Iterable[tuple[str, float]]:
    """Buckets as Prometheus wants them: each with all below it."""
    below = 0.0
    for bound in BOUNDS:
        below += values.get((*pool, str(bound)), 0.0)
        yield str(float(bound)), below
    yield "+Inf", below + values.get((*pool, ENDLESS), 0.0)
