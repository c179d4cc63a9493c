"""Wakes waiting threads and coroutines when a topic has news; carries no data and forgets at once.

Who waits subscribes first, then reads the database, then waits: so no news falls between. Where several
gateways write, `shared_signals` carries the news from one to the other.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

Wake = Callable[[], object]
Relay = Callable[[Iterable[str]], object]


class Signals:
    """Topics and who waits for them. Thread-safe."""

    def __init__(self) -> None:
        self.ended = False
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Wake]] = defaultdict(list)
        self._relay: Relay | None = None

    def end(self) -> None:
        """The process stops: wake everyone, and from now on nobody should wait."""
        self.ended = True
        self.publish_all()

    def relay(self, relay: Relay) -> None:
        """Have `relay` called, too, with the topics of each `announce`."""
        self._relay = relay

    def announce(self, topics: Iterable[str]) -> None:
        """What was just committed here: wake everyone who waits for one of the topics, wherever he does."""
        self.publish(topics)
        if self._relay is not None and topics:
            self._relay(topics)

    def publish_all(self) -> None:
        """Wake everyone: there may be news of any topic."""
        with self._lock:
            topics = list(self._waiting)
        self.publish(topics)

    def publish(self, topics: Iterable[str]) -> None:
        """Wake everyone in this process who waits for one of the topics."""
        with self._lock:
            wakes = [wake for topic in topics for wake in self._waiting.get(topic, ())]
        for wake in wakes:
            wake()

    @contextmanager
    def subscribe(self, topic: str, wake: Wake) -> Iterator[None]:
        """Have `wake` called, from any thread, for each news of `topic`."""
        with self._lock:
            self._waiting[topic].append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._waiting[topic].remove(wake)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    @contextmanager
    def in_thread(self, topic: str) -> Iterator[threading.Event]:
        """For threads: an event that is set at each news of `topic`; clear it before reading again."""
        bell = threading.Event()
        with self.subscribe(topic, bell.set):
            yield bell

    @contextmanager
    def in_loop(self, topic: str) -> Iterator[asyncio.Event]:
        """For coroutines: the same, set in the running event loop."""
        bell = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            # The loop may close between a commit in a worker thread and this call.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(bell.set)

        with self.subscribe(topic, wake):
            yield bell
