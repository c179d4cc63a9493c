"""Many who follow by server-sent events: whether all are told, how soon, and what they cost."""

import asyncio
import time
from itertools import takewhile
from typing import Any

import httpx

from load.deadline import Deadline
from load.loaded_gateway import LoadedGateway
from load.percentiles import summary

AT_A_TIME = 50


def measure(gateway: LoadedGateway, listeners: int, seconds: float) -> dict[str, Any]:
    """`together`: all follow one evaluation. `apart`: each follows its own, and all are cancelled in turn.

    Each for half the time at the most: whoever is not connected or told by then is left out of the counts.
    """
    (one,) = gateway.submit(1, first_seed=5_000_000)
    own = gateway.submit(listeners, first_seed=6_000_000)
    return {
        "listeners": listeners,
        "together": asyncio.run(_told(gateway, [one] * listeners, seconds / 2)),
        "apart": asyncio.run(_told(gateway, own, seconds / 2)),
    }


async def _told(gateway: LoadedGateway, followed: list[str], seconds: float) -> dict[str, Any]:
    before = gateway.resident_bytes()
    gate = asyncio.Semaphore(AT_A_TIME)
    listeners = [_Listener(gateway.port, evaluation, gate) for evaluation in followed]
    tasks = [asyncio.create_task(listener.listen()) for listener in listeners]
    await _within(seconds / 3, [asyncio.create_task(listener.connected.wait()) for listener in listeners])
    connected = sum(listener.connected.is_set() for listener in listeners)
    held = gateway.resident_bytes() - before
    ended: dict[str, float] = {}
    cancelling = Deadline(seconds / 3)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        for evaluation in takewhile(lambda _: not cancelling.is_over, dict.fromkeys(followed)):
            ended[evaluation] = time.perf_counter()
            (await http.delete(f"/v1/evaluations/{evaluation}")).raise_for_status()
    await _within(seconds / 3, tasks)
    told = [listener for listener in listeners if listener.told_at is not None]
    late = [found.told_at - ended[found.evaluation] for found in told if found.told_at is not None]
    return {
        "connected": connected,
        "told": len(told),
        **summary(late),
        "kib_each": round(held / 1024 / max(1, connected), 1),
        "gateway_mib": round(gateway.resident_bytes() / 2**20, 1),
    }


async def _within(seconds: float, tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for all of them, and give up those that are not done by then."""
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Listener:
    """Follows one evaluation until its end."""

    def __init__(self, port: int, evaluation: str, gate: asyncio.Semaphore) -> None:
        self.evaluation = evaluation
        self.connected = asyncio.Event()
        self.told_at: float | None = None
        self._port = port
        self._gate = gate

    async def listen(self) -> None:
        async with self._gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            path = f"/v1/evaluations/{self.evaluation}/events"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            await reader.readuntil(b"event: queued")
        self.connected.set()
        try:
            await reader.readuntil(b"event: finished")
            self.told_at = time.perf_counter()
        finally:
            writer.close()
