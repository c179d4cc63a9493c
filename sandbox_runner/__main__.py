"""Serve the sandbox runner: `python -m sandbox_runner`."""

import resource
from contextlib import suppress

import uvicorn

from contracts.addresses import parse_address
from contracts.service_logs import set_up_logs
from sandbox_runner.app import create_app
from sandbox_runner.config import RunnerSettings

SHUTDOWN_SECONDS = 3
"""Waiting requests are cut off after this; attempts are killed and redelivered when their lease ends."""


def main() -> None:
    """Read the settings from the environment and serve until a signal."""
    set_up_logs("runner")
    settings = RunnerSettings()
    with suppress(OSError, ValueError):
        # It holds labels and split keys, which must never lie in a core file. Not 0: see `namespaces`.
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    listen = parse_address(settings.runner_address).listen_options()
    uvicorn.run(
        create_app(settings),
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **listen,  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    main()
