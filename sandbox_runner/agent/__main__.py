"""Serve as this host's agent: `python -m sandbox_runner.agent`."""

import signal
from threading import Event

from contracts.service_logs import set_up_logs
from sandbox_runner.agent.agent import run_agent
from sandbox_runner.config import AgentSettings


def main() -> None:
    """Read the settings from the environment and work until SIGTERM or SIGINT."""
    set_up_logs("agent")
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    run_agent(AgentSettings(), stopping)


if __name__ == "__main__":
    main()
