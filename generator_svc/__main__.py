"""Serve the generator: `python -m generator_svc`."""

import uvicorn

from contracts.addresses import parse_address
from contracts.service_logs import set_up_logs
from generator_svc.app import create_app
from generator_svc.config import GeneratorSettings


def main() -> None:
    """Read the settings from the environment and serve until a signal."""
    set_up_logs("generator")
    settings = GeneratorSettings()
    listen = parse_address(settings.generator_address).listen_options()
    uvicorn.run(create_app(settings), log_config=None, log_level="warning", access_log=False, **listen)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
