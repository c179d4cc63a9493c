"""Ends event streams whose key has ended: who opened one in time does not keep it for days.

A stream is looked after where its messages pass; one in which nothing happens sends a comment now and then.
"""

import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from contracts.service_gate import Message, Send
from gateway.infra.database import StorageUnavailable

LOOK_SECONDS = 15.0
"""A key is looked up at most this often, however many streams it has open."""
MOST_KEYS = 10_000
_EVENT_STREAM = b"text/event-stream"


class KeyWatch:
    """Not thread-safe: for one event loop."""

    def __init__(self) -> None:
        self._looked_at: dict[str, float] = {}

    def watched(self, send: Send, key_id: str, opens: Callable[[], bool]) -> Send:
        """`send` for the answer to a key that was in force just now. `opens` runs in a worker thread."""
        self._note(key_id)
        is_stream = has_ended = False

        async def send_watched(message: Message) -> None:
            nonlocal is_stream, has_ended
            if message["type"] == "http.response.start":
                is_stream = any(
                    name == b"content-type" and value.startswith(_EVENT_STREAM)
                    for name, value in message.get("headers", ())
                )
            elif is_stream and not has_ended and not await self._still_opens(key_id, opens):
                has_ended = True
                # The server then tells the application that nobody listens any more.
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            if not has_ended:
                await send(message)

        return send_watched

    async def _still_opens(self, key_id: str, opens: Callable[[], bool]) -> bool:
        if time.monotonic() - self._looked_at.get(key_id, 0.0) < LOOK_SECONDS:
            return True
        self._note(key_id)
        try:
            still_opens = await run_in_threadpool(opens)
        except StorageUnavailable:
            return True
        if not still_opens:
            self._looked_at.pop(key_id, None)
        return still_opens

    def _note(self, key_id: str) -> None:
        if len(self._looked_at) >= MOST_KEYS:
            self._looked_at.clear()
        self._looked_at[key_id] = time.monotonic()
