"""Whose turn it is at an endpoint: so many requests at once and a minute, of all searches of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from generator_svc.language_models.endpoint_failures import over_own_caps, wants_a_pause
from generator_svc.language_models.endpoints import Endpoint
from generator_svc.language_models.rate_caps import Booking, RateCaps

_LOOK_AGAIN_SECONDS = 0.1


class Stopped(Exception):
    """Whoever asked is gone, or another request of the same call found that no more answers can come."""


class Admission:
    """The door of one endpoint. Safe for several threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._places = threading.BoundedSemaphore(endpoint.parallel)
        self._caps = RateCaps(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._lock = threading.Lock()

    @contextmanager
    def entered(self, tokens: int, patience_seconds: float, stop: threading.Event) -> Iterator[Booking]:
        """Wait for the request's turn; whoever learns what it really used sets the booking's tokens.

        Raises Stopped, and HeldUp (`rate_limited`) where the operator's caps, or the pause that the endpoint
        asked for, keep it waiting for longer than `patience_seconds`.
        """
        while not self._places.acquire(timeout=_LOOK_AGAIN_SECONDS):
            if stop.is_set():
                raise Stopped
        try:
            # Only now: a request that was booked and then waited for its place would leave at another time.
            booking = self._book(tokens, patience_seconds)
            if stop.wait(max(0.0, booking.leaves_at - time.monotonic())):
                with self._lock:
                    self._caps.withdraw(booking)
                raise Stopped
            yield booking
        finally:
            self._places.release()

    def hold_off(self, seconds: float) -> None:
        """The endpoint asked for a pause, of all."""
        with self._lock:
            self._caps.hold_off(time.monotonic() + seconds)

    def _book(self, tokens: int, patience_seconds: float) -> Booking:
        now = time.monotonic()
        with self._lock:
            booking = self._caps.book(tokens, now)
            wait = booking.leaves_at - now
            if wait > patience_seconds:
                self._caps.withdraw(booking)
                is_paused = self._caps.pause_seconds(now) > patience_seconds
                told = wants_a_pause if is_paused else over_own_caps
                # By then it would be within the patience.
                raise told(self._endpoint, wait - patience_seconds)
        return booking
