"""The logs of a real run: every error can be found in them, and nothing that has to stay secret."""

import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from up_process import Home, Up

pytestmark = [pytest.mark.slow, pytest.mark.full]

MODEL_KEY = "sk-the-key-of-an-endpoint-0123456789"
API_KEY = "dn_an-api-key-that-somebody-mistyped-00"
SOURCE_MARK = "mark-in-a-source"
HOSTILE = 'evil\x1b[2J\n{"level":"ERROR","tenant":"root"}'


@dataclass(frozen=True)
class HomeWithKey(Home):
    """A state folder whose services are told secrets."""

    @property
    def environment(self):
        return {
            **super().environment,
            "DELTANAS_LLM_API_KEY": MODEL_KEY,
            "DELTANAS_LLM_BASE_URL": "http://127.0.0.1:9/v1",
            "DELTANAS_LLM_MODEL": "m",
        }


def service_token(up):
    environment = Path(f"/proc/{up.children()['gateway']}/environ").read_bytes().split(b"\0")
    (token,) = [v.removeprefix(b"DELTANAS_SERVICE_TOKEN=") for v in environment if b"SERVICE_TOKEN=" in v]
    return token.decode()


def test_logs_tell_every_error_and_no_secret(tmp_path):
    home = HomeWithKey(tmp_path)
    up = Up.started(home)
    try:
        token = service_token(up)
        errors = provoke(up.address)
        assert httpx.get(f"{up.address}/metrics").text.count("deltanas_database_up 1.0") == 1
    finally:
        assert up.end() == 0
    logs = {path.name: path.read_text() for path in (tmp_path / "logs").glob("*.log")}
    records = [json.loads(line) for line in logs["gateway.log"].splitlines()]
    assert {record["service"] for record in records} == {"gateway"}
    assert {record.get("level") for record in records} <= {"INFO", "WARNING", "ERROR"}
    told = {record.get("request_id") for record in records}
    assert set(errors) <= told
    assert not any(record.get("tenant") == "root" for record in records)
    everything = "".join(logs.values())
    assert "\x1b" not in everything
    for secret in (token, MODEL_KEY, API_KEY, SOURCE_MARK):
        assert secret not in everything
    assert "evaluation_id" in everything


def provoke(address):
    """Requests of every kind that goes wrong; gives their ids."""
    source = f"# {SOURCE_MARK}\nimport torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"
    asked = [
        ("GET", "/v1/evaluations/ev_nothing", {}),
        ("GET", f"/v1/{HOSTILE!r}", {}),
        ("POST", "/v1/evaluations", {"json": {"source": source, "dataset": HOSTILE}}),
        ("POST", "/v1/evaluations", {"content": b"{", "headers": {"content-type": "application/json"}}),
        ("GET", "/v1/evaluations", {"headers": {"authorization": f"Bearer {API_KEY}"}}),
        ("GET", "/v1/evaluations", {"headers": {"host": "evil"}}),
        ("POST", "/internal/v1/attempts/a:claim", {"headers": {"authorization": "Bearer wrong-token-1"}}),
        ("GET", "/nothing", {"headers": {"user-agent": HOSTILE.replace("\n", "")}}),
    ]
    errors = []
    with httpx.Client(base_url=address, timeout=30) as http:
        for method, path, options in asked:
            answer = http.request(method, path, **options)
            assert 400 <= answer.status_code < 500, answer.text
            errors.append(answer.headers["x-request-id"])
    return errors
