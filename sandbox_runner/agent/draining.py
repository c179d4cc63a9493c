"""How an agent ends: it takes nothing new on, lets what runs end for a while, and gives back the rest."""

import time
from typing import Protocol

from sandbox_runner.agent.stop import Stop

LOOK_AGAIN_SECONDS = 0.2


class Heart(Protocol):
    """Tells the gateway what an agent lends."""

    interval: float

    def beat(self) -> None:
        """One heartbeat. Raises nothing."""


class UnderWay(Protocol):
    """Attempts that an agent sees through."""

    @property
    def under_way(self) -> int:
        """How many there are now."""


def drain(seconds: float, heart: Heart, errands: UnderWay, stop: Stop) -> None:
    """Take nothing new on and let what runs end, at most so long; then what is left is given back."""
    heart.beat()
    give_up = time.monotonic() + seconds
    beat_again = time.monotonic() + heart.interval
    while errands.under_way and time.monotonic() < give_up and not stop.hurrying.is_set():
        stop.hurrying.wait(LOOK_AGAIN_SECONDS)
        if time.monotonic() >= beat_again:
            heart.beat()
            beat_again = time.monotonic() + heart.interval
    stop.hurry()


def wait_for(errands: UnderWay, seconds: float) -> None:
    """Wait, at most so long, until nothing is under way any more."""
    give_up = time.monotonic() + seconds
    while errands.under_way and time.monotonic() < give_up:
        time.sleep(LOOK_AGAIN_SECONDS / 4)
