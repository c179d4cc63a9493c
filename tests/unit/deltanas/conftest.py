"""A command line whose server is the fake gateway."""

import json
from dataclasses import dataclass

import pytest
from fakes import FakeGateway

from deltanas import cli, transport


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def gateway(monkeypatch, tmp_path):
    fake = FakeGateway()
    monkeypatch.setenv("DELTANAS_GATEWAY_ADDRESS", fake.address)
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DELTANAS_API_KEY", raising=False)
    monkeypatch.setattr(transport, "_DELAYS_SECONDS", (0.01, 0.01, 0.01))
    yield fake
    fake.close()


@pytest.fixture
def deltanas(gateway, capsys):
    """Run a command in this process: `deltanas("search", "list")`."""

    def run(*words) -> Ended:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run
