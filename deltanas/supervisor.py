"""Runs all services of one machine and keeps them running until it is told to end.

It has one thread and waits for signals, so a child's death is noticed at once. It does no work of
the product itself: accepted work is in the gateway's database and outlives every process here.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

from deltanas.child import Child
from deltanas.home import Home, ServerRecord, ServerRunning
from deltanas.readiness import Readiness, is_alive, readiness
from deltanas.services import environment_of, make_run_folder, services_of_one_machine

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_TICK_SECONDS = 0.2
_DEATHS_BEFORE_GIVING_UP = 3
_PATIENCE_SECONDS = 60.0
"""After this long not ready, say what is missing. Evaluations wait for it; the rest works."""
_FAREWELL_SECONDS = 6.0


_NO_KEY_IN_FORCE = 4
"""With which `python -m gateway.key_desk in-force` ends where none is."""


class PortUnavailable(Exception):
    """The address to listen on cannot be had."""


class ServiceFailed(Exception):
    """A service does not start."""


class BindRefused(Exception):
    """Only loopback may be served without API keys."""


@dataclass(frozen=True)
class Plan:
    """What to serve and for how long. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8000
    until_unused: bool = False
    """End as soon as no command uses the server."""


class Supervisor:
    """All services of one machine. `announce` is told, one sentence at a time, what happens."""

    def __init__(self, home: Home, plan: Plan, announce: Callable[[str], None]) -> None:
        self._home = home
        self._plan = plan
        self._announce = announce
        self._children: list[Child] = []
        self._address = ""

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP (or until unused).

        Raises ServerRunning, BindRefused, PortUnavailable, ServiceFailed.
        """
        running = self._home.running_server()
        if running:
            raise ServerRunning(self._home, running)
        _require_keys_beyond_loopback(self._home, self._plan.host)
        self._address = _claim_address(self._plan.host, self._plan.port)
        # Blocked, not handled: they are collected one by one in `_next_signal`.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        record = ServerRecord(self._address, os.getpid())
        with self._home.own(record) as publish:
            run_folder = make_run_folder(self._home.path)
            try:
                self._start(run_folder)
                self._serve(lambda: publish(replace(record, started=True)))
            finally:
                self._end()
                rmtree(run_folder, ignore_errors=True)

    def _start(self, run_folder: Path) -> None:
        self._announce(f"starting; state in {self._home.path}, logs in {self._home.logs}")
        services = services_of_one_machine(self._home.path, run_folder, self._address)
        self._children = [Child(service, self._home.logs) for service in services]
        for child in self._children:
            child.start()

    def _serve(self, on_started: Callable[[], None]) -> None:
        startup = _Startup(self._children, self._address, self._announce, on_started)
        while True:
            if _told_to_end(_TICK_SECONDS):
                self._announce("ending")
                return
            for child in self._children:
                news = child.tend()
                if news:
                    self._announce(news)
            startup.advance()
            if self._plan.until_unused:
                with self._home.no_users() as unused:
                    if unused:
                        self._end()
                        return

    def _end(self) -> None:
        """End every child, callers first, and wait for them."""
        children = list(reversed(self._children))
        for child in children:
            child.terminate()
        give_up = time.monotonic() + _FAREWELL_SECONDS
        for child in children:
            child.finish(give_up - time.monotonic())
        self._children = []


class _Startup:
    """The way to ready: every service answers, then the gateway says that all parts are there."""

    def __init__(
        self,
        children: list[Child],
        address: str,
        announce: Callable[[str], None],
        on_started: Callable[[], None],
    ) -> None:
        self._on_started: Callable[[], None] | None = on_started
        self._children = children
        self._waiting = [child for child in children if child.service.health_address]
        self._address = address
        self._announce = announce
        self._started_at = time.monotonic()
        self._ask_after = 0.0
        self._done = False
        self._complained = False

    def advance(self) -> None:
        """Look again. Raises ServiceFailed when a service keeps dying."""
        if self._done:
            return
        for child in self._children:
            if child.quick_deaths >= _DEATHS_BEFORE_GIVING_UP:
                raise ServiceFailed(
                    f"{child.service.name} does not start; {child.log_path} ends:\n{child.last_words()}"
                )
        self._waiting = [child for child in self._waiting if not is_alive(child.service.health_address or "")]
        if self._waiting:
            return
        if self._on_started:
            self._on_started()
            self._on_started = None
        if time.monotonic() < self._ask_after:
            return
        self._ask_after = time.monotonic() + 0.5
        self._report(readiness(self._address))

    def _report(self, state: Readiness) -> None:
        waited = time.monotonic() - self._started_at
        if state.ready:
            self._done = True
            names = ", ".join(child.service.name for child in self._children)
            self._announce(f"ready after {waited:.1f} s: {names}")
            self._announce(f"serving {self._address} (API documentation: {self._address}/docs)")
        elif waited > _PATIENCE_SECONDS and not self._complained:
            self._complained = True
            self._announce(f"serving {self._address}, but not ready: {'; '.join(state.reasons)}")
            self._announce("evaluations wait until that is mended; `deltanas doctor` says how")


def _told_to_end(seconds: float) -> bool:
    """Wait for a signal; a child's death only cuts the wait short."""
    received = signal.sigtimedwait(_SIGNALS, seconds)
    return received is not None and received.si_signo != signal.SIGCHLD


def _require_keys_beyond_loopback(home: Home, host: str) -> None:
    """Raises BindRefused where strangers could call without a key, ServiceFailed where nobody can tell.

    The gateway looks again when it starts.
    """
    if host in {"127.0.0.1", "localhost", "::1"}:
        return
    environment = environment_of("gateway", home.path)
    asked = subprocess.run([sys.executable, "-m", "gateway.key_desk", "in-force"], env=environment)
    if asked.returncode not in {0, _NO_KEY_IN_FORCE}:
        raise ServiceFailed(f"--host {host}: whether API keys are in force cannot be read from the database")
    if asked.returncode == _NO_KEY_IN_FORCE:
        raise BindRefused(
            f"--host {host}: anybody could reach it, and no API key is in force; make one with "
            "`deltanas keys create`, or serve 127.0.0.1"
        )


def _claim_address(host: str, port: int) -> str:
    """The gateway's address, once it is sure that it can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortUnavailable(
                f"cannot listen on {host}:{port}: {error.strerror}; "
                "choose another port with --port, or --port 0 for any free one"
            ) from error
        port = probe.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
