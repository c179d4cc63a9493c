import pytest
from gateway_scene import gateway_in

from gateway.infra.database import Base


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
