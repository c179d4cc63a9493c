"""Lets one long answer at a time in: each takes a core of its services, and room in their memory."""

import threading
import weakref
from typing import Protocol


class Ending(Protocol):
    """What is over at some time."""

    is_over: bool


class OneAtATime:
    """Holds nothing itself: who is inside is over when it says so, or when nobody holds it any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: weakref.WeakSet[Ending] = weakref.WeakSet()

    def enter(self, newcomer: Ending) -> bool:
        """Whether the newcomer may go on."""
        with self._lock:
            if any(not other.is_over for other in self._inside):
                return False
            self._inside.add(newcomer)
            return True
