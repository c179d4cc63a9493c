"""A long queue: filled, listed page by page, read, and cancelled one by one."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from load.deadline import Deadline
from load.loaded_gateway import LoadedGateway
from load.percentiles import summary

PAGE = 200
CANCELLERS = 4
"""People who cancel at a time."""
SAMPLES = 100
BATCH = 100


def measure(gateway: LoadedGateway, most: int, seconds: float) -> dict[str, Any]:
    """What it takes with so many queued, or as many as half the time is enough for; cancelling has the rest.

    Raises where a list is not whole, or what was cancelled is not.
    """
    cancelling = Deadline(seconds)
    begin = time.perf_counter()
    ids = _fill(gateway, most, Deadline(seconds / 2))
    filled, depth = time.perf_counter() - begin, len(ids)
    listed, pages = _listed(gateway, {})
    if listed != list(reversed(ids)):
        raise RuntimeError(f"{len(listed)} of {depth} are listed, or in another order")
    _, of_queued = _listed(gateway, {"state": "queued"})
    single = [_timed(lambda one=one: gateway.http.get(f"/v1/evaluations/{one}")) for one in ids[:SAMPLES]]
    extra = [_timed(lambda seed=seed: gateway.submit(1, seed)) for seed in range(most, most + SAMPLES)]
    cancelled, whole = _cancel(gateway, ids, cancelling)
    left = gateway.http.get("/v1/quota").json()["queued"]["used"]
    if left != depth + SAMPLES - len(cancelled):
        raise RuntimeError(f"{left} are open after {len(cancelled)} of {depth} and {SAMPLES} were cancelled")
    return {
        "depth": depth,
        "batch_submissions_per_second": round(depth / filled, 1),
        "page": summary(pages) | {"evaluations": PAGE},
        "page_of_queued": summary(of_queued),
        "read_one": summary(single),
        "submit_one": summary(extra),
        "cancel_one": summary(cancelled),
        "cancelled": len(cancelled),
        "cancelled_per_second": round(len(cancelled) / whole, 1),
    }


def _fill(gateway: LoadedGateway, most: int, deadline: Deadline) -> list[str]:
    ids: list[str] = []
    while len(ids) < most and not deadline.is_over:
        ids += gateway.submit(min(BATCH, most - len(ids)), first_seed=len(ids))
    return ids


def _listed(gateway: LoadedGateway, query: dict[str, Any]) -> tuple[list[str], list[float]]:
    found: list[str] = []
    taken: list[float] = []
    cursor: dict[str, str] = {}
    while True:
        begin = time.perf_counter()
        page = gateway.http.get("/v1/evaluations", params={"limit": PAGE, **query, **cursor}).json()
        taken.append(time.perf_counter() - begin)
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found, taken
        cursor = {"cursor": page["next_cursor"]}


def _cancel(gateway: LoadedGateway, ids: Iterable[str], deadline: Deadline) -> tuple[list[float], float]:
    """How long each took, and all."""

    def cancel(evaluation_id: str) -> float | None:
        if deadline.is_over:
            return None
        begin = time.perf_counter()
        answer = gateway.http.delete(f"/v1/evaluations/{evaluation_id}")
        if answer.json()["state"] != "cancelled":
            raise RuntimeError(answer.text)
        return time.perf_counter() - begin

    begin = time.perf_counter()
    with ThreadPoolExecutor(CANCELLERS) as people:
        taken = [seconds for seconds in people.map(cancel, ids) if seconds is not None]
    return taken, time.perf_counter() - begin


def _timed(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
