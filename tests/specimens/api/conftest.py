"""One live family for every attack of this folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "e2e"))
from api_target import AttackedServer, Target
from live_server import DATASET, small_fashion_mnist


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("attacked")
    server = AttackedServer(home)
    server.start()
    try:
        added = server.cli("datasets", "add", DATASET, str(small_fashion_mnist(home / "small.npz")), "--json")
        assert added.returncode == 0, added.stdout + added.stderr
        with server.http as http:
            canary = home / "canary-that-only-an-attack-creates"
            yield Target(server, http, canary, server.services())
    finally:
        server.stop()
