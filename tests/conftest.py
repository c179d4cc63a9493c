"""What tests everywhere may ask for."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from postgres_server import PostgresServer
    from redis_server import RedisServer

A_DEVELOPERS_OWN = (
    "DELTANAS_HOME",
    "DELTANAS_API_KEY",
    "DELTANAS_GATEWAY_ADDRESS",
    "DELTANAS_DATABASE_URL",
    "DELTANAS_BROKER_URL",
    "DELTANAS_LLM_",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="what stands behind the gateways and searches of unit tests",
    )


def pytest_configure() -> None:
    """What is set for a server of one's own must not reach the servers of tests, nor tests that server."""
    for name in [name for name in os.environ if name.startswith(A_DEVELOPERS_OWN)]:
        del os.environ[name]
    # How long an example takes says something of the machine alone.
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays to the end: looking through it for garbage, again and again, is
    nearly half of what collecting costs, and would go on at every test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about SQLite alone is no part of a run on PostgreSQL."""
    if config.getoption("--database") == "sqlite":
        return
    elsewhere = [item for item in items if item.get_closest_marker("sqlite")]
    items[:] = [item for item in items if item not in elsewhere]
    config.hook.pytest_deselected(items=elsewhere)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch computes in one thread: networks as small as those of tests only wait for each other on more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def postgres() -> "Iterator[PostgresServer]":
    """A PostgreSQL server of this run's own; it does not wait for the disk."""
    from postgres_server import PostgresServer, binaries

    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: bash deploy/system-packages.sh postgresql")
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_url(postgres: "PostgresServer") -> Iterator[str]:
    """A new database with the newest schema."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same, once on each database that is supported."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    from fresh_databases import sqlite_url

    return sqlite_url(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _chosen_database(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--database") == "postgresql":
        from fresh_databases import use

        use(request.getfixturevalue("postgres"))


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator["RedisServer"]:
    """A real Redis on a port of its own: `.url`, `.kill()`, `.start()`."""
    from redis_server import RedisServer

    server = RedisServer(tmp_path)
    try:
        yield server.start()
    finally:
        server.end()
