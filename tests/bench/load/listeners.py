"""Many who follow by server-sent events: whether all are told, how soon, and what they cost."""

import asyncio
import time
from typing import Any

import httpx

from load.loaded_gateway import LoadedGateway
from load.percentiles import summary

CONNECT_SECONDS = 120.0
TOLD_SECONDS = 120.0
AT_A_TIME = 50


def measure(gateway: LoadedGateway, listeners: int) -> dict[str, Any]:
    """`together`: all follow one evaluation. `apart`: each follows its own, and all are cancelled in turn."""
    (one,) = gateway.submit(1, first_seed=5_000_000)
    own = gateway.submit(listeners, first_seed=6_000_000)
    return {
        "listeners": listeners,
        "together": asyncio.run(_told(gateway, [one] * listeners)),
        "apart": asyncio.run(_told(gateway, own)),
    }


async def _told(gateway: LoadedGateway, followed: list[str]) -> dict[str, Any]:
    before = gateway.resident_bytes()
    gate = asyncio.Semaphore(AT_A_TIME)
    listeners = [_Listener(gateway.port, evaluation, gate) for evaluation in followed]
    tasks = [asyncio.create_task(listener.listen()) for listener in listeners]
    async with asyncio.timeout(CONNECT_SECONDS):
        await asyncio.gather(*(listener.connected.wait() for listener in listeners))
    held = gateway.resident_bytes() - before
    ended: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        for evaluation in dict.fromkeys(followed):
            ended[evaluation] = time.perf_counter()
            (await http.delete(f"/v1/evaluations/{evaluation}")).raise_for_status()
    await asyncio.wait(tasks, timeout=TOLD_SECONDS)
    told = [listener for listener in listeners if listener.told_at is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    late = [found.told_at - ended[found.evaluation] for found in told if found.told_at is not None]
    return {
        "told": len(told),
        **summary(late),
        "kib_each": round(held / 1024 / len(followed), 1),
        "gateway_mib": round(gateway.resident_bytes() / 2**20, 1),
    }


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
