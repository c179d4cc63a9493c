"""Fork servers for tests: brought up until they serve, and attempts that run in what they fork."""

import secrets
from threading import Event

from sample_attempts import make_attempt
from sandbox_harness import FOLDER

from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend
from sandbox_runner.specimens import quadrants
from sandbox_runner.starts import Starts

START_SECONDS = 150.0


def forking_backend():
    """A backend that forks."""
    made = ForkingBackend(FOLDER)
    assert made.wait_until_forking(START_SECONDS), made.why_cold()
    return made


def open_library(tmp_path_factory):
    """A library with the data set of the specimens, where a sandbox's own user may pass."""
    home = tmp_path_factory.mktemp("home")
    for folder in (home, *home.parents[:2]):
        folder.chmod(0o755)
    quadrants.write_quadrants(home)
    return Library(home)


def evaluate(backend, library, on_phase=lambda _: None, **changes):
    """The outcome of an attempt that starts no other way than this backend starts it."""
    attempt = make_attempt(f"at_{secrets.token_hex(4)}", **changes)
    return run_attempt(attempt, Bench(Starts(backend, 0), library, "digest"), Event(), on_phase)
