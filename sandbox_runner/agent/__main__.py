"""Serve as this host's agent: `python -m sandbox_runner.agent`."""

import logging
import signal
from threading import Event

from sandbox_runner.agent.agent import run_agent
from sandbox_runner.config import AgentSettings


def main() -> None:
    """Read the settings from the environment and work until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    run_agent(AgentSettings(), stopping)


if __name__ == "__main__":
    main()
