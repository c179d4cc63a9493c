"""`python -m gateway`: read the settings, listen, serve."""

import resource
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI

from contracts.service_gate import App
from contracts.service_logs import set_up_logs
from gateway.app import create_app
from gateway.config import Settings
from gateway.services import Services

SHUTDOWN_SECONDS = 5
"""Requests still open after this long are cut off; they come again."""
STARTUP_FAILED = 3
MOST_FILES = 65_536


def main() -> None:
    """Serve until told to stop."""
    set_up_logs("gateway")
    settings = Settings()
    _allow_many_connections()
    app = create_app(settings)
    server = _Server(server_config(app, settings), partial(_send_waiters_home, app))
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)


def _allow_many_connections() -> None:
    """As far as the machine lets this process: each event stream keeps a file open."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(MOST_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def server_config(app: App, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        # Unless told not to, uvicorn believes what any process of this machine says in X-Forwarded-For.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        **settings.address.listen_options(),  # type: ignore[arg-type]
    )


class _Server(uvicorn.Server):
    """Waits for every open request before it stops; so those that only wait are told first."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to stop. What it sets off takes locks, which this thread may hold: so in another one."""
        super().handle_exit(sig, frame)
        threading.Thread(target=self._on_exit).start()


def _send_waiters_home(app: FastAPI) -> None:
    services: Services | None = getattr(app.state, "services", None)
    if services is not None:
        services.database.signals.end()


if __name__ == "__main__":
    main()
