from pathlib import Path
from types import ModuleType

import pytest
from gateway_scene import gateway_in

from gateway.infra.database import Base

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What opens a database is slow: a tenth of a second each, and more than a thousand of them."""
    for item in items:
        if HERE in item.path.parents and ("scene" in item.fixturenames or _opens_a_database(item.module)):
            item.add_marker(pytest.mark.slow)


def _opens_a_database(tests: ModuleType) -> bool:
    origins = {getattr(found, "__module__", None) or "" for found in vars(tests).values()}
    return any(name.endswith("_scene") or name in {"fresh_databases", Base.__module__} for name in origins)


@pytest.fixture(scope="session")
def _gateway(tmp_path_factory):
    with gateway_in(tmp_path_factory.mktemp("home")) as scene:
        yield scene


@pytest.fixture
def scene(_gateway):
    """A gateway with an empty database and one live agent. Starting one for each test would take long."""
    with _gateway.services.database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    _gateway.generator.unreachable = _gateway.runner.unreachable = False
    _gateway.agent.heartbeat()
    return _gateway
