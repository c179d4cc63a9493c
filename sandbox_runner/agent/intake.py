"""Where an agent hears of attempts to claim: the gateway, asked by each slot, or a broker."""

from threading import Thread
from typing import Protocol

from sandbox_runner.agent.slot import Slot


class Intake(Protocol):
    """Brings attempts to a `ClaimRunner`, as many at a time as there are slots, until the agent drains."""

    def start(self) -> None:
        """Begin."""

    def join(self, seconds: float) -> None:
        """Wait, at most so long, until nothing is brought any more."""


class Polling:
    """Each slot asks the gateway for itself."""

    def __init__(self, slots: list[Slot]) -> None:
        self._threads = [
            Thread(target=slot.work, name=f"slot-{number}", daemon=True) for number, slot in enumerate(slots)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait for nothing: a slot whose question is still open takes nothing on any more."""
