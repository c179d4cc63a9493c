"""Serve the generator: `python -m generator_svc`."""

import sys

import uvicorn

from contracts.addresses import parse_address
from contracts.service_logs import set_up_logs
from generator_svc.app import create_app
from generator_svc.config import GeneratorSettings
from generator_svc.language_models.endpoints import EndpointsInvalid


def main() -> int:
    """Read the settings from the environment and serve until a signal; 2 where they cannot be used."""
    set_up_logs("generator")
    settings = GeneratorSettings()
    listen = parse_address(settings.generator_address).listen_options()
    try:
        app = create_app(settings)
    except EndpointsInvalid as error:
        # Without a traceback: the message says which variable to mend.
        print(error, file=sys.stderr)
        return 2
    uvicorn.run(app, log_config=None, log_level="warning", access_log=False, **listen)  # type: ignore[arg-type]
    return 0


if __name__ == "__main__":
    sys.exit(main())
