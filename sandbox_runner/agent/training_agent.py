"""The life of an agent whose host trains: let rest what was left, take jobs on, tell of it, drain."""

import logging
from contextlib import ExitStack
from threading import Event

from contracts.dispatch import Resource
from contracts.fine_tune_attempts import TrainingHost
from sandbox_runner.agent.agent import STOP_SECONDS
from sandbox_runner.agent.draining import drain, wait_for
from sandbox_runner.agent.intake import Intake, Polling
from sandbox_runner.agent.links import Rejected, Unreachable
from sandbox_runner.agent.settings import AgentSettings
from sandbox_runner.agent.slot import Slot
from sandbox_runner.agent.stop import Stop
from sandbox_runner.agent.training_errand import TrainingErrands
from sandbox_runner.agent.training_links import GeneratorLink, TrainingGatewayLink

logger = logging.getLogger(__name__)

SLOTS = 1
"""A generator trains one job at a time."""


def run_training_agent(settings: AgentSettings, stop: Stop) -> None:
    """Serve until `stop` says otherwise; then let what runs end, for as long as the settings say."""
    with ExitStack() as open_links:
        token = settings.service_token
        gateway = open_links.enter_context(TrainingGatewayLink(settings.gateway_address, token))
        generator = open_links.enter_context(GeneratorLink(settings.generator_address, token))
        if not _take_over(generator, stop.draining):
            return
        errands = TrainingErrands(settings.agent_id, gateway, generator, stop.hurrying)
        heart = TrainingHeart(settings, gateway, generator, stop.draining)
        intake = _intake(settings, gateway, generator, errands, stop)
        heart.beat()
        intake.start()
        while not stop.draining.wait(heart.interval):
            heart.beat()
        drain(settings.agent_drain_seconds, heart, errands, stop)
        wait_for(errands, STOP_SECONDS)
        intake.join(STOP_SECONDS)


def _take_over(generator: GeneratorLink, draining: Event) -> bool:
    """Wait for the generator and let rest what an earlier agent had trained; False if it is to stop."""
    while not draining.is_set():
        try:
            for status in generator.borrowed():
                generator.rest(status.id)
            return True
        except (Unreachable, Rejected) as error:
            logger.info("waiting for the generator: %s", error)
            draining.wait(0.5)
    return False


def _intake(
    settings: AgentSettings,
    gateway: TrainingGatewayLink,
    generator: GeneratorLink,
    errands: TrainingErrands,
    stop: Stop,
) -> Intake:
    if settings.broker_url is not None:
        from sandbox_runner.agent.broker import BrokerIntake

        url = settings.broker_url.get_secret_value()
        return BrokerIntake(url, Resource.FINE_TUNE, settings.agent_id, SLOTS, errands, stop.draining)

    def is_ready() -> bool:
        return bool(generator.models())

    poll_seconds = settings.agent_poll_seconds
    return Polling([Slot(settings.agent_id, gateway, is_ready, errands, poll_seconds, stop.draining)])


class TrainingHeart:
    """Tells the gateway what can be trained here, and forgets the jobs that have ended there."""

    def __init__(
        self, settings: AgentSettings, gateway: TrainingGatewayLink, generator: GeneratorLink, draining: Event
    ) -> None:
        self.interval = settings.agent_heartbeat_seconds
        self._agent_id = settings.agent_id
        self._gpus = settings.agent_gpus
        self._queue = "" if settings.broker_url is None else Resource.FINE_TUNE.value
        self._gateway = gateway
        self._generator = generator
        self._draining = draining

    def beat(self) -> None:
        """One heartbeat; a service that does not answer gets the next one."""
        try:
            borrowed = {status.id: status for status in self._generator.borrowed()}
            slots = 0 if self._draining.is_set() else SLOTS
            models = self._generator.models()
            host = TrainingHost(slots, models, self._queue, tuple(borrowed), self._gpus)
            for job_id in self._gateway.heartbeat_agent(self._agent_id, host):
                if job_id in borrowed:
                    self._generator.forget(borrowed[job_id])
        except (Unreachable, Rejected) as error:
            logger.warning("heartbeat: %s", error)
