"""Requests and tokens per minute, as bookings of a sliding minute. Pure: the caller brings the time.

Every request is given the earliest moment at which it keeps both caps beside all that were booked before it,
so that requests leave in the order in which they came and none is starved by smaller ones.
"""

from collections import deque
from dataclasses import dataclass

_MINUTE = 60.0


@dataclass(eq=False)
class Booking:
    """When a request may leave, and the tokens that are counted for it."""

    leaves_at: float
    tokens: int


class RateCaps:
    """The bookings of the last minute and those to come. Not safe for several threads."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._bookings: deque[Booking] = deque()
        self._not_before = 0.0

    def book(self, tokens: int, now: float) -> Booking:
        """The earliest place for a request of about so many tokens."""
        while self._bookings and self._bookings[0].leaves_at <= now - _MINUTE:
            self._bookings.popleft()
        leaves_at = max(now, self._not_before)
        if self._bookings:
            leaves_at = max(leaves_at, self._bookings[-1].leaves_at)
        if self._requests is not None and len(self._bookings) >= self._requests:
            leaves_at = max(leaves_at, self._bookings[-self._requests].leaves_at + _MINUTE)
        booking = Booking(max(leaves_at, self._room_for(tokens)), tokens)
        if self._requests is not None or self._tokens is not None:
            self._bookings.append(booking)
        return booking

    def _room_for(self, tokens: int) -> float:
        """When enough tokens have left the minute. A request above the cap has the minute to itself."""
        if self._tokens is None:
            return 0.0
        total = tokens
        for booking in reversed(self._bookings):
            total += booking.tokens
            if total > self._tokens:
                return booking.leaves_at + _MINUTE
        return 0.0

    def withdraw(self, booking: Booking) -> None:
        """The request is not made after all."""
        if booking in self._bookings:
            self._bookings.remove(booking)

    def hold_off(self, until: float) -> None:
        """The endpoint asked for a pause: nothing that is booked from now on leaves before this moment."""
        self._not_before = max(self._not_before, until)

    def pause_seconds(self, now: float) -> float:
        """What is left of the pause that the endpoint asked for."""
        return max(0.0, self._not_before - now)
