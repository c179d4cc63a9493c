"""One real server, with real sandboxes and real data, for the whole run."""

from collections.abc import Iterator

import pytest
from live_server import DATASET, Server, small_fashion_mnist


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    running = Server(home)
    running.start()
    try:
        added = running.cli(
            "datasets", "add", DATASET, str(small_fashion_mnist(home / "small.npz")), "--json"
        )
        assert added.returncode == 0, added.stdout + added.stderr
        yield running
    finally:
        running.stop()
