"""Serve as this host's agent: `python -m sandbox_runner.agent`."""

import os
import signal

from contracts.dispatch import Resource
from contracts.service_logs import set_up_logs
from sandbox_runner.agent.agent import run_agent
from sandbox_runner.agent.settings import AgentSettings
from sandbox_runner.agent.stop import Stop
from sandbox_runner.agent.training_agent import run_training_agent

CELERYS_OWN = "CELERY_"
"""Variables of this name override what a Celery application was told."""


def main() -> None:
    """Read the settings from the environment and work until SIGTERM or SIGINT; the second one hurries."""
    set_up_logs("agent")
    for name in [name for name in os.environ if name.startswith(CELERYS_OWN)]:
        del os.environ[name]
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.ask())
    settings = AgentSettings()
    if settings.resource is Resource.FINE_TUNE:
        run_training_agent(settings, stop)
    else:
        run_agent(settings, stop)


if __name__ == "__main__":
    main()
