"""What the generator says, heard by a thread of its own: a cancellation must be heard while we write."""

import json
import os
import queue
import threading
from typing import IO, Any

from generator_svc.language_models.local.protocol import MAX_LINE_BYTES

Json = dict[str, Any]


class Inbox:
    """Calls and cancellations, in the order in which they came."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()

    def listen(self, lines: IO[bytes]) -> None:
        """Until the generator is gone: then so are we, at once."""
        while line := lines.readline(MAX_LINE_BYTES):
            document = json.loads(line)
            if "cancel" in document:
                with self._lock:
                    self._cancelled.add(document["cancel"])
            else:
                self._calls.put(document)
        os._exit(0)

    def next_call(self) -> Json:
        """Wait for a call."""
        return self._calls.get()

    def is_cancelled(self, call: int) -> bool:
        """Whether nobody waits for this call any more."""
        with self._lock:
            return call in self._cancelled

    def forget(self, call: int) -> None:
        """The call has ended."""
        with self._lock:
            self._cancelled.discard(call)
