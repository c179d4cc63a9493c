"""Lets one long answer at a time in: each takes a core of its services, and room in their memory."""

import threading
import time
import weakref
from typing import Protocol

ENDING_SECONDS = 60.0
"""How long a newcomer waits for an answer that nobody waits for: it ends with the step that it is at."""
NOTICING_SECONDS = 1.0
"""How long it takes at most until a client is seen to have gone."""
LOOK_AGAIN_SECONDS = 0.05


class Mortal(Protocol):
    """What is over at some time."""

    @property
    def is_over(self) -> bool:
        """Whether it needs its place no longer."""


class Ending(Mortal, Protocol):
    """The same of what can be given up."""

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for it any more: then it will be over soon."""


class AFewAtATime:
    """Lets so many in and no more, and less of them of one owner; as `OneAtATime`, but nobody waits."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._lock = threading.Lock()
        self._owners: weakref.WeakKeyDictionary[Mortal, str] = weakref.WeakKeyDictionary()

    def enter(self, newcomer: Mortal, owner: str) -> bool:
        """Whether there is room for one more of this owner's."""
        with self._lock:
            inside = [whose for other, whose in self._owners.items() if not other.is_over]
            has_room = len(inside) < self._most and inside.count(owner) < self._most_of_one
            if has_room:
                self._owners[newcomer] = owner
            return has_room


class OneAtATime:
    """Holds nothing itself: who is inside is over when it says so, or when nobody holds it any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: weakref.WeakSet[Ending] = weakref.WeakSet()

    def enter(self, newcomer: Ending) -> bool:
        """Whether the newcomer may go on; waits for whom nobody waits for."""
        begun = time.monotonic()
        while True:
            with self._lock:
                if all(other.is_over for other in self._inside):
                    self._inside.add(newcomer)
                    return True
                ends_soon = all(other.is_over or other.is_abandoned for other in self._inside)
            if time.monotonic() - begun > (ENDING_SECONDS if ends_soon else NOTICING_SECONDS):
                return False
            time.sleep(LOOK_AGAIN_SECONDS)
