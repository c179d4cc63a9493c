"""Finds the server of this home, or starts one in the background for as long as a command needs it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deltanas.home import Home
from deltanas.readiness import is_alive, readiness

_ALIVE_SECONDS = 180.0
"""Long: who looks after the services says much sooner when one of them does not start."""
_READY_SECONDS = 60.0


class ServerNotStarted(Exception):
    """The background server ended, or does not answer."""


class ServerNotReady(Exception):
    """The server runs but cannot evaluate anything."""


@contextmanager
def use_server(home: Home, tell: Callable[[str], None], need_ready: bool = True) -> Iterator[str]:
    """Give the address of a server whose services all answer; with `need_ready`, one that can evaluate.

    Raises ServerNotStarted, ServerNotReady.
    """
    with home.use():
        address = _find_or_start(home, tell)
        if need_ready:
            _wait_until_ready(address)
        yield address


def _find_or_start(home: Home, tell: Callable[[str], None]) -> str:
    started: subprocess.Popen[bytes] | None = None
    give_up = time.monotonic() + _ALIVE_SECONDS
    while time.monotonic() < give_up:
        # Asked first: when the process is seen to have ended, another may own the home by then.
        ended = started is not None and started.poll() is not None
        record = home.running_server()
        if record and record.started and is_alive(record.address):
            return record.address
        if record is None and ended:
            raise ServerNotStarted(f"the services do not start:\n{_last_words(home)}")
        if record is None and started is None:
            tell("starting the services")
            started = _start_in_background(home)
        time.sleep(0.1)
    raise ServerNotStarted(f"no answer from the services within {_ALIVE_SECONDS:.0f} s; see {home.logs}")


def _start_in_background(home: Home) -> subprocess.Popen[bytes]:
    with (home.logs / "supervisor.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "deltanas", "up", "--port", "0", "--until-unused"],
            env={**os.environ, "DELTANAS_HOME": str(home.path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(address: str) -> None:
    give_up = time.monotonic() + _READY_SECONDS
    state = readiness(address)
    while not state.ready and time.monotonic() < give_up:
        time.sleep(0.2)
        state = readiness(address)
    if not state.ready:
        raise ServerNotReady(f"the server cannot evaluate: {'; '.join(state.reasons)}")


def _last_words(home: Home) -> str:
    """From its last error on: what a service said at its end may take many lines."""
    lines = (home.logs / "supervisor.log").read_text(errors="replace").splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    return "\n".join(lines[errors[-1] :][:40] if errors else lines[-12:])
