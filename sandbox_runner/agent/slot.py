"""One slot of an agent that asks the gateway for work: ask, have it run, ask again."""

import logging
from threading import Event

from sandbox_runner.agent.errand import PAUSE_SECONDS, Errands
from sandbox_runner.agent.links import GatewayLink, Rejected, RunnerLink, Unreachable

logger = logging.getLogger(__name__)


class Slot:
    """Works off one attempt at a time until `draining` is set."""

    def __init__(
        self,
        agent_id: str,
        gateway: GatewayLink,
        runner: RunnerLink,
        errands: Errands,
        poll_seconds: float,
        draining: Event,
    ) -> None:
        self._agent_id = agent_id
        self._gateway = gateway
        self._runner = runner
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
        if self._runner.capabilities().tier is None:
            self._draining.wait(PAUSE_SECONDS)
            return
        attempt_id = self._gateway.next_attempt(self._agent_id, self._poll_seconds)
        if attempt_id is not None and not self._draining.is_set():
            self._errands.run(attempt_id)
