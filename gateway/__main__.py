"""`python -m gateway`: read the settings, listen, serve."""

import uvicorn

from gateway.app import create_app
from gateway.config import Settings

SHUTDOWN_SECONDS = 5
"""Followers and waiters are cut off after this long; they come again."""


def main() -> None:
    """Serve until told to stop."""
    settings = Settings()
    uvicorn.run(
        create_app(settings),
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        **settings.address.listen_options(),  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    main()
