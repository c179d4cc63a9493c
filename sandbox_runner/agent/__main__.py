"""Serve as this host's agent: `python -m sandbox_runner.agent`."""

import os
import signal

from contracts.service_logs import set_up_logs
from sandbox_runner.agent.agent import run_agent
from sandbox_runner.agent.settings import AgentSettings
from sandbox_runner.agent.stop import Stop

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
    run_agent(AgentSettings(), stop)


if __name__ == "__main__":
    main()
