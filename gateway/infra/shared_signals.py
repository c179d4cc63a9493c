"""Carries signals between gateways on one PostgreSQL: what one commits wakes those who wait at another.

By NOTIFY, after the commit and on a connection of its own, so that no writer waits for it. A signal is lost
where a gateway dies in between or the connection breaks: whoever waits looks again by himself after a while.
"""

import json
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from gateway.infra.database import Database
from gateway.infra.engines import CONNECT_TIMEOUT_SECONDS, NETWORK

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger(__name__)

CHANNEL = "deltanas"
MOST_BYTES = 7_000
"""PostgreSQL carries less than 8,000 bytes in a notification."""
MOST_WAITING = 10_000
"""Commits whose signals may wait for a connection."""
GATHER_SECONDS = 0.005
"""Signals of so long go together."""
LOOK_UP_SECONDS = 1.0
RECONNECT_SECONDS = 1.0


class SharedSignals:
    """Two threads: one tells the others what was committed here, one hears what was committed there."""

    def __init__(self, database: Database) -> None:
        self._signals = database.signals
        self._url = make_url(database.engine.url).set(drivername="postgresql")
        self._name = secrets.token_hex(8)
        self._told: queue.SimpleQueue[frozenset[str] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_on, args=(act,), name=name, daemon=True)
            for act, name in ((self._tell, "signals out"), (self._hear, "signals in"))
        ]

    def start(self) -> None:
        """Begin."""
        self._signals.relay(self._relay)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._told.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def _relay(self, topics: Iterable[str]) -> None:
        # Beyond it nothing goes out any more, and whoever waits looks again by himself.
        if self._told.qsize() < MOST_WAITING:
            self._told.put(frozenset(topics))

    def _keep_on(self, act: "Callable[[psycopg.Connection[object]], None]") -> None:
        import psycopg

        while not self._stopping.is_set():
            try:
                with psycopg.connect(
                    self._url.render_as_string(hide_password=False),
                    autocommit=True,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    **NETWORK,
                ) as connection:
                    act(connection)
            except psycopg.Error as error:
                log.warning("signals between gateways are interrupted (%s); trying again", error)
            except Exception:
                log.exception("signals between gateways are interrupted; trying again")
            self._stopping.wait(RECONNECT_SECONDS)

    def _tell(self, connection: "psycopg.Connection[object]") -> None:
        for topics in iter(self._told.get, None):
            time.sleep(GATHER_SECONDS)
            gathered = set(topics)
            while not self._told.empty() and (more := self._told.get()) is not None:
                gathered |= more
            for payload in _payloads(self._name, sorted(gathered)):
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
            if self._stopping.is_set():
                return

    def _hear(self, connection: "psycopg.Connection[object]") -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        # What was said while nobody listened here is not said again.
        self._signals.publish_all()
        while not self._stopping.is_set():
            for heard in connection.notifies(timeout=LOOK_UP_SECONDS):
                name, topics = json.loads(heard.payload)
                if name != self._name:
                    self._signals.publish(topics)


def _payloads(name: str, topics: Iterable[str]) -> list[str]:
    """The topics in as few notifications as they fit into."""
    found: list[list[str]] = [[]]
    size = 0
    for topic in topics:
        size += len(json.dumps(topic)) + 2
        if size > MOST_BYTES:
            found.append([])
            size = len(json.dumps(topic)) + 2
        found[-1].append(topic)
    return [json.dumps([name, part]) for part in found if part]
