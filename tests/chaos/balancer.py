"""What stands in front of several gateways: each connection goes to the next one that answers."""

import asyncio
import threading
from contextlib import suppress
from itertools import count

CHUNK_BYTES = 65_536


class Balancer:
    """Listens on a port of this machine and passes bytes on, in a thread of its own."""

    def __init__(self, targets: list[str], host: str = "127.0.0.1") -> None:
        """`targets`: paths of unix sockets, or `host:port`."""
        self._targets = targets
        self._turns = count()
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._listens.wait(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._pass_on, self._host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._over.wait()
        server.close()

    async def _pass_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            first = next(self._turns)
            for turn in range(len(self._targets)):
                with suppress(OSError):
                    far, onward = await self._open(self._targets[(first + turn) % len(self._targets)])
                    await _until_one_ends(_copy(near, onward), _copy(far, back))
                    onward.close()
                    return
        finally:
            back.close()

    @staticmethod
    async def _open(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if target.startswith("/"):
            return await asyncio.open_unix_connection(target)
        host, _, port = target.rpartition(":")
        return await asyncio.open_connection(host, int(port))


async def _until_one_ends(*copies) -> None:
    tasks = [asyncio.ensure_future(one) for one in copies]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
