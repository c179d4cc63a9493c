"""Keeps the lease of an attempt at a fine-tune while gigabytes are on their way and hours go by."""

import logging
from collections.abc import Iterable, Iterator
from threading import Event, Lock, Thread
from typing import Self

from contracts.fine_tune_attempts import TrainingNews
from sandbox_runner.agent.links import Lease, Rejected, Unreachable
from sandbox_runner.agent.training_links import TrainingGatewayLink

logger = logging.getLogger(__name__)


class NotWanted(Exception):
    """Nobody wants the attempt any more: its lease is lost, its job was cancelled, or the agent stops."""


class LeaseKeeper:
    """A thread that tells the gateway the latest news, again and again. A context manager."""

    def __init__(self, gateway: TrainingGatewayLink, lease: Lease, interval: float, hurrying: Event) -> None:
        self._gateway = gateway
        self._lease = lease
        self._interval = interval
        self._hurrying = hurrying
        self._is_over = Event()
        self._lock = Lock()
        self._news = TrainingNews()
        self.events_seen = 0
        """The host's last event that the gateway has."""
        self._thread = Thread(target=self._keep, name=f"lease-{lease.attempt_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise NotWanted once nobody wants the attempt any more."""
        if self._is_over.is_set() or self._hurrying.is_set():
            raise NotWanted

    def wait(self, seconds: float) -> None:
        """Let time go by. Raises NotWanted."""
        self._is_over.wait(seconds)
        self.check()

    def while_wanted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same bytes. Raises NotWanted in between."""
        for chunk in chunks:
            self.check()
            yield chunk

    def tell(self, news: TrainingNews) -> None:
        """Let the gateway hear this from now on; what it has heard already it passes over."""
        with self._lock:
            self._news = news

    def beat(self) -> None:
        """One heartbeat now. Raises NotWanted; a gateway that does not answer is waited for."""
        with self._lock:
            news = self._news
        try:
            kept = self._gateway.heartbeat(self._lease, news)
        except Unreachable as error:
            logger.warning("%s", error)
            return
        except Rejected as rejected:
            logger.info("attempt %s: its lease is lost (%s)", self._lease.attempt_id, rejected.status)
            self._is_over.set()
            raise NotWanted from rejected
        if kept.cancel:
            logger.info("attempt %s: its job was cancelled", self._lease.attempt_id)
            self._is_over.set()
            raise NotWanted
        self.events_seen = kept.events_seen

    def _keep(self) -> None:
        while not self._is_over.wait(self._interval):
            try:
                self.beat()
            except NotWanted:
                return
            except Exception:
                logger.exception("a heartbeat failed; the next one follows")
