"""A long queue: filled, listed page by page, read, and cancelled one by one."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from load.loaded_gateway import LoadedGateway
from load.percentiles import summary

PAGE = 200
CANCELLERS = 4
"""People who cancel at a time."""
SAMPLES = 100


def measure(gateway: LoadedGateway, depth: int) -> dict[str, Any]:
    """What it takes with so many queued. Raises where a list or a cancellation is not whole."""
    begin = time.perf_counter()
    ids = gateway.submit(depth)
    filled = time.perf_counter() - begin
    listed, pages = _listed(gateway, {})
    if listed != list(reversed(ids)):
        raise RuntimeError(f"{len(listed)} of {depth} are listed, or in another order")
    _, of_queued = _listed(gateway, {"state": "queued"})
    single = [_timed(lambda one=one: gateway.http.get(f"/v1/evaluations/{one}")) for one in ids[:SAMPLES]]
    extra = [_timed(lambda seed=seed: gateway.submit(1, seed)) for seed in range(depth, depth + SAMPLES)]
    cancelled, whole = _cancel(gateway, ids)
    left = gateway.http.get("/v1/quota").json()
    return {
        "depth": depth,
        "batch_submissions_per_second": round(depth / filled, 1),
        "page": summary(pages) | {"evaluations": PAGE},
        "page_of_queued": summary(of_queued),
        "read_one": summary(single),
        "submit_one": summary(extra),
        "cancel_one": summary(cancelled),
        "cancelled_per_second": round(depth / whole, 1),
        "cancelled_all_seconds": round(whole, 2),
        "open_afterwards": left["queued"]["used"] - SAMPLES,
    }


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


def _cancel(gateway: LoadedGateway, ids: Iterable[str]) -> tuple[list[float], float]:
    def cancel(evaluation_id: str) -> float:
        begin = time.perf_counter()
        answer = gateway.http.delete(f"/v1/evaluations/{evaluation_id}")
        if answer.json()["state"] != "cancelled":
            raise RuntimeError(answer.text)
        return time.perf_counter() - begin

    begin = time.perf_counter()
    with ThreadPoolExecutor(CANCELLERS) as people:
        taken = list(people.map(cancel, ids))
    return taken, time.perf_counter() - begin


def _timed(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
