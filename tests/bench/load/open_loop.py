"""Submissions at a rate that does not wait for answers, and the highest rate that a gateway holds.

Latencies count from the moment at which a request was due, not at which it could be sent: a server that
stalls cannot slow down those who arrive (no coordinated omission).
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass

from load.deadline import Deadline
from load.loaded_gateway import LoadedGateway, body
from load.percentiles import percentile

P99_SECONDS = 0.25
"""What a submitter waits at most, but for one in a hundred."""
GROWTH = 1.25
TRIES = 2
"""A rate is given up after it failed so often in a row: something else may have used the machine."""
ANSWER_SECONDS = 30.0
ACCEPTED = 202


@dataclass(frozen=True)
class Step:
    """Arrivals at one rate."""

    rate: float
    offered: int
    accepted: int
    refused: dict[int, int]
    """How many were answered with each other status; 0: not at all."""
    seconds: float
    """Until the last answer."""
    p50: float
    p99: float
    gateway_cpu_seconds: float

    @property
    def holds(self) -> bool:
        """All were accepted, in time."""
        return self.accepted == self.offered and self.p99 < P99_SECONDS


@dataclass(frozen=True)
class Ramp:
    """Rates that were tried, and the highest that held."""

    steps: tuple[Step, ...]

    @property
    def best(self) -> Step | None:
        """None where not even the first rate held."""
        return max((step for step in self.steps if step.holds), key=lambda step: step.rate, default=None)

    def document(self) -> dict[str, object]:
        """As JSON."""
        best = None if self.best is None else asdict(self.best)
        return {"best": best, "steps": [asdict(step) | {"holds": step.holds} for step in self.steps]}


def ramp(
    gateway: LoadedGateway, first_rate: float, step_seconds: float, most_steps: int, deadline: Deadline
) -> Ramp:
    """Raise the rate of arrivals until it holds no more."""
    offer(gateway, first_rate, min(2.0, step_seconds), first_seed=0)  # its first requests pay for imports
    steps: list[Step] = []
    rate, failed, seed = first_rate, 0, 1_000_000
    while failed < TRIES and len(steps) < most_steps and not deadline.is_over:
        step = offer(gateway, rate, step_seconds, seed)
        steps.append(step)
        seed += step.offered
        failed = 0 if step.holds else failed + 1
        rate = rate * GROWTH if step.holds else rate
    return Ramp(tuple(steps))


def offer(gateway: LoadedGateway, rate: float, seconds: float, first_seed: int) -> Step:
    """Submit at a steady rate for so long."""
    count = max(1, round(rate * seconds))
    cpu = gateway.cpu_seconds()
    begin = time.perf_counter()
    answered = asyncio.run(_arrive(gateway.port, rate, count, first_seed))
    taken = time.perf_counter() - begin
    statuses = Counter(status for status, _ in answered)
    latencies = sorted(latency for _, latency in answered)
    return Step(
        rate=rate,
        offered=count,
        accepted=statuses.pop(ACCEPTED, 0),
        refused=dict(statuses),
        seconds=taken,
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        gateway_cpu_seconds=gateway.cpu_seconds() - cpu,
    )


async def _arrive(port: int, rate: float, count: int, first_seed: int) -> list[tuple[int, float]]:
    """(status, latency) of each; status 0 where there was no answer."""
    idle: list[_Connection] = []
    loop = asyncio.get_running_loop()
    begin = loop.time()
    tasks = []
    for place in range(count):
        due = begin + place / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.create_task(_submit(port, idle, _request(first_seed + place), due)))
    answered = await asyncio.gather(*tasks)
    for connection in idle:
        connection.close()
    return answered


def _request(seed: int) -> bytes:
    content = json.dumps(body(seed)).encode()
    head = (
        "POST /v1/evaluations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _submit(port: int, idle: list["_Connection"], request: bytes, due: float) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            connection = _still_open(idle) or await _Connection.open(port)
            status = await connection.ask(request)
            idle.append(connection)
    except (OSError, TimeoutError, EOFError):
        status = 0
    return status, loop.time() - due


def _still_open(idle: list["_Connection"]) -> "_Connection | None":
    """One that the gateway has not closed meanwhile, as it does after some seconds without a request."""
    while idle:
        connection = idle.pop()
        if not connection.is_closed:
            return connection
        connection.close()
    return None


class _Connection:
    """HTTP as far as this needs it: a client library would take as much of the machine as the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @property
    def is_closed(self) -> bool:
        """Whether the other end has closed it."""
        return self._reader.at_eof()

    async def ask(self, request: bytes) -> int:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        await self._reader.readexactly(length)
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        self._writer.close()
