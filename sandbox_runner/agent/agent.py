"""An agent's life: clear what an earlier life left, fill the slots, tell the gateway that it is there."""

import logging
from contextlib import ExitStack
from threading import Event, Thread

from contracts.jobs import AgentHeartbeat, RunnerCapabilities
from sandbox_runner.agent.links import GatewayLink, Rejected, RunnerLink, Unreachable
from sandbox_runner.agent.slot import Slot
from sandbox_runner.config import AgentSettings

logger = logging.getLogger(__name__)

STOP_SECONDS = 8.0
"""For so long the slots may take to give their attempts back."""


def run_agent(settings: AgentSettings, stopping: Event) -> None:
    """Serve until `stopping` is set."""
    with ExitStack() as open_links:
        gateway = open_links.enter_context(GatewayLink(settings.gateway_address, settings.service_token))
        runner = open_links.enter_context(RunnerLink(settings.runner_address, settings.service_token))
        capabilities = _take_over(runner, stopping)
        if capabilities is None:
            return
        slots = [
            Slot(settings.agent_id, gateway, runner, settings.agent_poll_seconds, stopping)
            for _ in range(capabilities.slots)
        ]
        threads = [
            Thread(target=slot.work, name=f"slot-{number}", daemon=True) for number, slot in enumerate(slots)
        ]
        _beat(settings, gateway, runner, slots)
        for thread in threads:
            thread.start()
        while not stopping.wait(settings.agent_heartbeat_seconds):
            _beat(settings, gateway, runner, slots)
        for slot, thread in zip(slots, threads, strict=True):
            if slot.busy:
                thread.join(STOP_SECONDS)


def _take_over(runner: RunnerLink, stopping: Event) -> RunnerCapabilities | None:
    """Wait for the runner and remove the attempts of an earlier agent; None when the agent is to stop."""
    while not stopping.is_set():
        try:
            for attempt_id in runner.known_attempts():
                runner.delete(attempt_id)
            return runner.capabilities()
        except (Unreachable, Rejected) as error:
            logger.info("waiting for the runner: %s", error)
            stopping.wait(0.5)
    return None


def _beat(settings: AgentSettings, gateway: GatewayLink, runner: RunnerLink, slots: list[Slot]) -> None:
    """One heartbeat; a service that does not answer gets the next one."""
    try:
        busy = sum(slot.busy for slot in slots)
        gateway.heartbeat_agent(settings.agent_id, AgentHeartbeat(runner.capabilities(), busy))
    except (Unreachable, Rejected) as error:
        logger.warning("heartbeat: %s", error)
