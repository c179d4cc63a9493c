"""An agent's life: clear what an earlier life left, fill the slots, tell the gateway of it, drain."""

import logging
from contextlib import ExitStack
from dataclasses import replace
from threading import Event

from contracts.jobs import AgentHeartbeat, RunnerCapabilities
from sandbox_runner.agent.draining import drain, wait_for
from sandbox_runner.agent.errand import Errands
from sandbox_runner.agent.intake import Intake, Polling
from sandbox_runner.agent.lending import lent_by
from sandbox_runner.agent.links import GatewayLink, Rejected, RunnerLink, Unreachable
from sandbox_runner.agent.settings import AgentSettings
from sandbox_runner.agent.slot import Slot
from sandbox_runner.agent.stop import Stop

logger = logging.getLogger(__name__)

STOP_SECONDS = 8.0
"""For so long giving back may take."""


def run_agent(settings: AgentSettings, stop: Stop) -> None:
    """Serve until `stop` says otherwise; then let what runs end, for as long as the settings say."""
    with ExitStack() as open_links:
        gateway = open_links.enter_context(GatewayLink(settings.gateway_address, settings.service_token))
        runner = open_links.enter_context(RunnerLink(settings.runner_address, settings.service_token))
        capabilities = _take_over(runner, stop.draining)
        if capabilities is None:
            return
        errands = Errands(settings.agent_id, gateway, runner, stop.hurrying)
        heart = _Heart(settings, gateway, runner, errands, stop.draining)
        intake = _intake(
            settings, gateway, runner, errands, stop, lent_by(settings.resource, capabilities).slots
        )
        heart.beat()
        intake.start()
        while not stop.draining.wait(settings.agent_heartbeat_seconds):
            heart.beat()
        drain(settings.agent_drain_seconds, heart, errands, stop)
        wait_for(errands, STOP_SECONDS)
        intake.join(STOP_SECONDS)


def _intake(
    settings: AgentSettings,
    gateway: GatewayLink,
    runner: RunnerLink,
    errands: Errands,
    stop: Stop,
    slots: int,
) -> Intake:
    if settings.broker_url is None or settings.resource is None:
        poll_seconds = settings.agent_poll_seconds

        def is_ready() -> bool:
            return runner.capabilities().tier is not None

        return Polling(
            [
                Slot(settings.agent_id, gateway, is_ready, errands, poll_seconds, stop.draining)
                for _ in range(slots)
            ]
        )
    # Celery takes a second to import, and an agent that asks the gateway needs none of it.
    from sandbox_runner.agent.broker import BrokerIntake

    url = settings.broker_url.get_secret_value()
    return BrokerIntake(url, settings.resource, settings.agent_id, slots, errands, stop.draining)


def _take_over(runner: RunnerLink, draining: Event) -> RunnerCapabilities | None:
    """Wait for the runner and remove the attempts of an earlier agent; None when the agent is to stop."""
    while not draining.is_set():
        try:
            for attempt_id in runner.known_attempts():
                runner.delete(attempt_id)
            return runner.capabilities()
        except (Unreachable, Rejected) as error:
            logger.info("waiting for the runner: %s", error)
            draining.wait(0.5)
    return None


class _Heart:
    """Tells the gateway what this agent lends: nothing any more once it drains."""

    def __init__(
        self,
        settings: AgentSettings,
        gateway: GatewayLink,
        runner: RunnerLink,
        errands: Errands,
        draining: Event,
    ) -> None:
        self.interval = settings.agent_heartbeat_seconds
        self._agent_id = settings.agent_id
        self._resource = settings.resource
        self._queue = (
            "" if settings.broker_url is None or settings.resource is None else settings.resource.value
        )
        self._gateway = gateway
        self._runner = runner
        self._errands = errands
        self._draining = draining

    def beat(self) -> None:
        """One heartbeat; a service that does not answer gets the next one."""
        try:
            lent = lent_by(self._resource, self._runner.capabilities())
            if self._draining.is_set():
                lent = replace(lent, slots=0)
            heartbeat = AgentHeartbeat(lent, self._queue)
            self._gateway.heartbeat_agent(self._agent_id, heartbeat)
        except (Unreachable, Rejected) as error:
            logger.warning("heartbeat: %s", error)
