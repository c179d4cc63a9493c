"""Looks hosts up for requests that wait for it: with patience for seconds, and a bound on what hangs.

The system's resolver cannot be interrupted, and whoever runs a name server can let it hang. So each look-up
has a thread that may be left behind, of which no tenant gets more than a few, and a tenant whose look-up
hung rests before the next. Those who ask for one host at a time share one look-up.
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
MAX_HANGING_OF_TENANT = 4
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
        self._under_way: dict[tuple[str, int], tuple[str, Future[Sequence[str]]]] = {}
        """By host and port: whose tenant's look-up it is, and what will come of it."""
        self._resting: dict[str, float] = {}
        self._known: dict[tuple[str, int], tuple[float, Future[Sequence[str]]]] = {}
        self._lock = threading.Lock()

    def require_allowed(self, url: str, tenant: str) -> None:
        """Read a URL, look its host up, and check what is found.

        Raises TargetRefused, LookupFailed, LookupsBusy. What is found later may be another answer: a
        delivery checks again.
        """
        target = checked_target(url, self._rules)
        if target.host not in self._rules.hosts:
            checked_addresses(target, self._addresses(target.host, target.port, tenant), self._rules)

    def _addresses(self, host: str, port: int, tenant: str) -> Sequence[str]:
        try:
            return self._found_or_begun(host, port, tenant).result(timeout=self._patience)
        except TookTooLong as error:
            with self._lock:
                self._resting[tenant] = time.monotonic() + REST_SECONDS
            raise LookupFailed(f"{host} was not found within {self._patience:g} s") from error

    def _found_or_begun(self, host: str, port: int, tenant: str) -> "Future[Sequence[str]]":
        """What came of a look-up lately, or of one begun now unless it is under way. Raises LookupsBusy."""
        with self._lock:
            if (host, port) in self._known and self._known[host, port][0] > time.monotonic():
                return self._known[host, port][1]
            self._require_rested(tenant)
            if (host, port) in self._under_way:
                return self._under_way[host, port][1]
            of_tenant = sum(whose == tenant for whose, _ in self._under_way.values())
            if len(self._under_way) >= MAX_HANGING or of_tenant >= MAX_HANGING_OF_TENANT:
                raise LookupsBusy
            found: Future[Sequence[str]] = Future()
            looking = threading.Thread(
                target=self._look_up, args=(host, port, found), name="webhook look-up", daemon=True
            )
            looking.start()
            self._under_way[host, port] = (tenant, found)
            return found

    def _look_up(self, host: str, port: int, found: "Future[Sequence[str]]") -> None:
        try:
            found.set_result(self._resolve(host, port))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            found.set_exception(error)
        with self._lock:
            del self._under_way[host, port]
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            # A failure, too: else the time of the next answer would tell unknown names from refused ones.
            self._known[host, port] = (time.monotonic() + KNOWN_SECONDS, found)

    def _require_rested(self, tenant: str) -> None:
        now = time.monotonic()
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        if tenant in self._resting:
            raise LookupsBusy
