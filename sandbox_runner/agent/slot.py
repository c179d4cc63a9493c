"""One slot of an agent that asks the gateway for work: ask, have it run, ask again."""

import logging
from collections.abc import Callable
from threading import Event
from typing import Protocol

from sandbox_runner.agent.errand import PAUSE_SECONDS
from sandbox_runner.agent.links import Rejected, Unreachable

logger = logging.getLogger(__name__)


class ClaimRunner(Protocol):
    """Claims an attempt and sees it through."""

    def run(self, attempt_id: str) -> bool:
        """Until it is over; False if it cannot be claimed. Raises Unreachable, Rejected."""


class Offers(Protocol):
    """A gateway that can be asked for work."""

    def next_attempt(self, agent_id: str, wait_seconds: float) -> str | None:
        """The id of an attempt to claim, or None when there is none within the wait."""


class Slot:
    """Works off one attempt at a time until `draining` is set."""

    def __init__(
        self,
        agent_id: str,
        gateway: Offers,
        is_ready: Callable[[], bool],
        errands: ClaimRunner,
        poll_seconds: float,
        draining: Event,
    ) -> None:
        self._agent_id = agent_id
        self._gateway = gateway
        self._is_ready = is_ready
        self._errands = errands
        self._poll_seconds = poll_seconds
        self._draining = draining

    def work(self) -> None:
        """Attempt after attempt. A broken service is waited for; nothing is raised."""
        while not self._draining.is_set():
            try:
                self._work_once()
            except Unreachable as error:
                logger.warning("%s", error)
                self._draining.wait(PAUSE_SECONDS)
            except Rejected as error:
                logger.error("refused with %s: %s", error.status, error)
                self._draining.wait(PAUSE_SECONDS)
            except Exception:
                logger.exception("the slot goes on after an unexpected error")
                self._draining.wait(PAUSE_SECONDS)

    def _work_once(self) -> None:
        if not self._is_ready():
            self._draining.wait(PAUSE_SECONDS)
            return
        attempt_id = self._gateway.next_attempt(self._agent_id, self._poll_seconds)
        if attempt_id is not None and not self._draining.is_set():
            self._errands.run(attempt_id)
