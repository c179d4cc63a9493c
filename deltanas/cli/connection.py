"""How a command comes to its server: the one that was named, the running one, or one of its own."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from deltanas.cli.output import tell, waiting
from deltanas.client import Client
from deltanas.home import Home
from deltanas.server import use_server


@contextmanager
def connected(need_ready: bool = True, quiet: bool = False) -> Iterator[Client]:
    """Give a client whose server answers.

    DELTANAS_GATEWAY_ADDRESS names a server elsewhere. Without it, the server of this home is used, or
    started for the time of the command. `need_ready` waits until candidates can be evaluated.
    """
    named = os.environ.get("DELTANAS_GATEWAY_ADDRESS")
    if named:
        with Client(named) as client:
            yield client
        return
    say = _nothing if quiet else tell
    with ExitStack() as server:
        with waiting("waiting for the services", quiet):
            address = server.enter_context(use_server(Home.locate(), say, need_ready))
        yield server.enter_context(Client(address))


def _nothing(_: str) -> None:
    return
