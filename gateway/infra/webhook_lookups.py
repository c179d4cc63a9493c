"""Looks hosts up for requests that wait for it: with patience for seconds, and a bound on what hangs.

The system's resolver cannot be interrupted, and whoever runs a name server can let it hang. So each look-up
has a thread that may be left behind, and a tenant whose look-up hung rests before the next.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong

from gateway.domain.webhook_targets import TargetRules, checked_addresses, checked_target
from gateway.infra.webhook_transport import LookupFailed, Resolve

PATIENCE_SECONDS = 3.0
REST_SECONDS = 10.0
MAX_HANGING = 16
KNOWN_SECONDS = 10.0
"""An answer serves that long, so that a batch with one receiver asks once; a delivery asks anew."""
MAX_KNOWN = 256


class LookupsBusy(Exception):
    """Name servers let the gateway wait; ask again later."""


class HostLookups:
    """Thread-safe."""

    def __init__(
        self, rules: TargetRules, resolve: Resolve, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        self._patience = patience_seconds
        self._room = threading.BoundedSemaphore(MAX_HANGING)
        self._resting: dict[str, float] = {}
        self._known: dict[tuple[str, int], tuple[float, Sequence[str]]] = {}
        self._lock = threading.Lock()

    def require_allowed(self, url: str, tenant: str) -> None:
        """Read a URL, look its host up, and check what is found.

        Raises TargetRefused, LookupFailed, LookupsBusy. What is found later may be another answer: a
        delivery checks again.
        """
        target = checked_target(url, self._rules)
        if target.host not in self._rules.hosts:
            checked_addresses(target, self._known_addresses(target.host, target.port, tenant), self._rules)

    def _known_addresses(self, host: str, port: int, tenant: str) -> Sequence[str]:
        with self._lock:
            until, addresses = self._known.get((host, port), (0.0, ()))
        if until > time.monotonic():
            return addresses
        addresses = self._addresses(host, port, tenant)
        with self._lock:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[host, port] = (time.monotonic() + KNOWN_SECONDS, addresses)
        return addresses

    def _addresses(self, host: str, port: int, tenant: str) -> Sequence[str]:
        self._require_rested(tenant)
        if not self._room.acquire(blocking=False):
            raise LookupsBusy
        found: Future[Sequence[str]] = Future()
        threading.Thread(
            target=self._look_up, args=(host, port, found), name="webhook look-up", daemon=True
        ).start()
        try:
            return found.result(timeout=self._patience)
        except TookTooLong as error:
            with self._lock:
                self._resting[tenant] = time.monotonic() + REST_SECONDS
            raise LookupFailed(f"{host} was not found within {self._patience:g} s") from error

    def _look_up(self, host: str, port: int, found: "Future[Sequence[str]]") -> None:
        try:
            found.set_result(self._resolve(host, port))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            found.set_exception(error)
        finally:
            self._room.release()

    def _require_rested(self, tenant: str) -> None:
        now = time.monotonic()
        with self._lock:
            self._resting = {name: until for name, until in self._resting.items() if until > now}
            if tenant in self._resting:
                raise LookupsBusy
