"""`deltanas mcp` as a process: its standard output carries the protocol alone, whatever comes in."""

import json
import os
import subprocess
import sys

import pytest
from fakes import FakeGateway

pytestmark = pytest.mark.slow

HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    },
}  # fmt: skip
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def call(number: int, tool: str, **arguments) -> dict:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


@pytest.fixture
def gateway():
    fake = FakeGateway()
    yield fake
    fake.close()


@pytest.fixture
def server(gateway, tmp_path):
    """The command, talked to line by line."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DELTANAS_HOME": str(tmp_path / "home"),
        "DELTANAS_GATEWAY_ADDRESS": gateway.address,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "deltanas", "mcp"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_garbage_refusals_and_answers_leave_nothing_but_protocol_on_standard_output(server, gateway):
    gateway.answer("GET", "/v1/searches", {"items": [], "next_cursor": None})
    problem = {"code": "search_unknown", "detail": "There is no search 'se_00'."}
    gateway.answer("GET", "/v1/searches/se_00", problem, status=404)
    said = [HELLO, READY, call(2, "list_searches"), call(3, "leaderboard", search_id="se_00")]
    lines = [json.dumps(message) for message in (*said, call(4, "no_such_tool"), call(5, "ask"))]
    lines.insert(2, "this is no JSON \x1b[2J")
    # Standard input stays open until all is answered: closing it ends what is at work.
    server.stdin.write("".join(f"{line}\n" for line in lines))
    server.stdin.flush()
    answers: dict[object, dict] = {}
    while not {1, 2, 3, 4, 5} <= set(answers):
        message = json.loads(server.stdout.readline())
        assert message["jsonrpc"] == "2.0"
        answers[message.get("id")] = message
    assert json.loads(answers[2]["result"]["content"][0]["text"]) == {"searches": []}
    assert answers[3]["result"]["isError"]
    assert "search_unknown" in answers[3]["result"]["content"][0]["text"]
    assert "error" in answers[4] or answers[4]["result"]["isError"]
    assert answers[5]["result"]["isError"]
    rest, news = server.communicate(timeout=30)
    assert server.returncode == 0, news
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest.splitlines())
