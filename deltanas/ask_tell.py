"""One task after the other for an agent that drives a search, each held while it is worked on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from deltanas.errors import Conflict, DeltanasError, PlatformFailed, ServerUnreachable, TooManyRequests

Json = dict[str, Any]

SEARCH_HAS_ENDED = "search_has_ended"
PATIENCE_SECONDS = 180.0
"""How long a server may be away while an agent asks."""
_BEATS_PER_LEASE = 3
_SERVICE_AWAY = 503


def task_feed(
    ask: Callable[[], Json], heartbeat: Callable[[Json], Json], release: Callable[[Json], Json]
) -> Iterator[Json]:
    """Ask, hold and give, until the search has ended. A task that is left by an error is given back."""
    while True:
        try:
            answer = _patiently(ask)
        except Conflict as error:
            if error.code == SEARCH_HAS_ENDED:
                return
            raise
        for task in answer["tasks"]:
            try:
                with _held(task, heartbeat):
                    yield task
            except BaseException:
                with suppress(DeltanasError):
                    release(task)
                raise
        if not answer["tasks"]:
            # The question itself has waited already; this only keeps a server that does not from a storm.
            time.sleep(0.2)


def _patiently(ask: Callable[[], Json]) -> Json:
    """Ask until somebody answers: an agent works for hours, and a server may be restarted meanwhile."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except (ServerUnreachable, TooManyRequests, PlatformFailed) as error:
            if time.monotonic() >= give_up or not _may_pass(error):
                raise


def _may_pass(error: DeltanasError) -> bool:
    """The transport has waited between its tries; a server that breaks is no matter of time."""
    return not isinstance(error, PlatformFailed) or error.problem.get("status") == _SERVICE_AWAY


@contextmanager
def _held(task: Json, heartbeat: Callable[[Json], Json]) -> Iterator[None]:
    """Renew the lease in a thread; a task that was told, or lost, needs no renewal any more."""
    done = threading.Event()
    pause = float(task["lease_seconds"]) / _BEATS_PER_LEASE

    def beat() -> None:
        while not done.wait(pause):
            try:
                heartbeat(task)
            except Conflict:
                return
            except DeltanasError:
                # A server that is away for a moment: the next beat may be in time.
                continue

    thread = threading.Thread(target=beat, name=f"lease of {task['task_id']}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
