"""What the platform adds to an evaluation: a real agent, and a runner that runs nothing."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from noop_runner import NoopRunner

from load.deadline import Deadline
from load.loaded_gateway import TOKEN, LoadedGateway, body
from load.percentiles import summary

SLOTS = 2
START_SECONDS = 120.0


def measure(gateway: LoadedGateway, alone: int, together: int, seconds: float) -> dict[str, Any]:
    """`alone`: one after the other, from submission to its end. `together`: all wait, and `SLOTS` work.

    Each for half the time at the most.
    """
    gateway.http.delete("/v1/evaluations")  # nothing of it exists; the connection is warm then
    with _agent(gateway):
        one_by_one = _one_by_one(gateway, alone, Deadline(seconds / 2))
        begin, deadline = time.perf_counter(), Deadline(seconds / 2)
        ids = gateway.submit(together, first_seed=8_000_000)
        # They are run in their order.
        ended = sum(1 for _ in takewhile(lambda one: _await_end(gateway, one, deadline), ids))
        taken = time.perf_counter() - begin
    return {
        "slots": SLOTS,
        "alone": summary(one_by_one),
        "evaluations": ended,
        "evaluations_per_second": round(ended / taken, 1),
        "slot_ms_each": round(1000 * taken * SLOTS / max(1, ended), 2),
    }


def _one_by_one(gateway: LoadedGateway, count: int, deadline: Deadline) -> list[float]:
    taken: list[float] = []
    for seed in range(7_000_000, 7_000_000 + count):
        begin = time.perf_counter()
        submitted = gateway.http.post("/v1/evaluations", json=body(seed))
        submitted.raise_for_status()
        if not _await_end(gateway, submitted.json()["id"], deadline):
            break
        taken.append(time.perf_counter() - begin)
    return taken


def _await_end(gateway: LoadedGateway, evaluation: str, deadline: Deadline) -> bool:
    """Whether it has succeeded in time. Raises where it has not succeeded."""
    while not deadline.is_over:
        wait = min(60.0, deadline.remaining)
        found = gateway.http.get(f"/v1/evaluations/{evaluation}", params={"wait": wait}).json()
        if found["state"] == "succeeded":
            return True
        if found["state"] in {"failed", "cancelled"}:
            raise RuntimeError(str(found["failure"]))
    return False


@contextmanager
def _agent(gateway: LoadedGateway) -> Iterator[None]:
    runner = NoopRunner(slots=SLOTS)
    settings = {
        "DELTANAS_GATEWAY_ADDRESS": gateway.url,
        "DELTANAS_RUNNER_ADDRESS": runner.address,
        "DELTANAS_SERVICE_TOKEN": TOKEN,
        "DELTANAS_AGENT_ID": "noop",
        "DELTANAS_HOME": str(gateway.home),
    }
    log = (gateway.home / "agent.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_runner.agent"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(gateway.home),
            "DELTANAS_HOME": str(gateway.home),
            **settings,
        },
        cwd=Path(__file__).parents[3],
        stdout=log,
        stderr=log,
    )
    try:
        give_up = time.monotonic() + START_SECONDS
        while "noop" not in {agent["id"] for agent in gateway.http.get("/v1/capabilities").json()["agents"]}:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((gateway.home / "agent.log").read_text()[-4000:])
            time.sleep(0.1)
        yield
    finally:
        process.terminate()  # in order, or the runner would complain of a connection that broke
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        runner.close()
