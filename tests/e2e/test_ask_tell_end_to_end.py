"""Outside agents drive searches through a real server: the example of the docs, and one over MCP's stdio."""

import asyncio
import difflib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live_server import DATASET, DELTANAS
from processes import until

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "agent.py"
SEARCH = {
    "dataset": DATASET,
    "cycles": 1,
    "candidates_per_cycle": 2,
    "seed": 5,
    "baselines": ["depthwise-separable"],
    "train_images": 400,
    "final_seeds": 1,
    "proposer": {"kind": "external"},
}


def candidates(server, search_id: str) -> list[dict]:
    items = server.http.get(f"/v1/searches/{search_id}/candidates", params={"cycle": 1}).json()["items"]
    return sorted(items, key=lambda item: item["slot"])


def test_the_example_agent_runs_a_whole_search_although_the_gateway_is_killed(server, tmp_path):
    config = tmp_path / "search.yaml"
    config.write_text(json.dumps({**SEARCH, "name": "example agent"}))  # JSON is YAML, too
    agent = subprocess.Popen(
        [sys.executable, str(EXAMPLE), str(config)],
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def search() -> dict | None:
        found = server.http.get("/v1/searches").json()["items"]
        return next((one for one in found if one["name"] == "example agent"), None)

    until(search, 60, "the agent has started its search")
    os.kill(server.services()["gateway"], signal.SIGKILL)
    server.wait_until_ready()
    said, _ = agent.communicate(timeout=400)
    assert agent.returncode == 0, said
    ended = search()
    assert ended["state"] == "succeeded", ended["failure"]
    items = candidates(server, ended["id"])
    assert [item["proposer"] for item in items] == ["external/example"] * 2
    assert {item["state"] for item in items} & {"judged"}
    assert all(item["state"] in {"judged", "duplicate"} for item in items), items
    assert said.splitlines()[-1].split()[0] == "succeeded"
    assert [line.split()[0] for line in said.splitlines()[:-1]] == [item["name"] for item in items]


def test_an_agent_over_mcp_asks_tries_tells_and_reads_its_verdict(server):
    from mcp import Client, StdioServerParameters

    created = server.http.post("/v1/searches", json={**SEARCH, "name": "mcp", "candidates_per_cycle": 1})
    search_id = created.json()["id"]
    command = StdioServerParameters(command=DELTANAS, args=["mcp"], env=server.environment)

    async def drive() -> dict:
        async with Client(command) as agent:

            async def call(tool: str, **arguments) -> dict:
                result = await agent.call_tool(tool, arguments)
                assert not result.is_error, result.content[0].text
                return json.loads(result.content[0].text)

            listed = await call("list_searches")
            assert search_id in {search["search_id"] for search in listed["searches"]}
            task = None
            deadline = time.monotonic() + 300
            while task is None and time.monotonic() < deadline:
                asked = {"search_id": search_id, "agent": "over-mcp", "prompt": "delta", "wait_seconds": 20}
                task = (await call("ask", **asked))["task"]
            assert "class Net" in task["prompt"]["messages"][-1]["content"]
            delta = _gelu_for_relu(task["baseline"]["source"]["untrusted"])
            tried = await call("try_delta", proposal_id=task["proposal_id"], delta=delta)
            assert tried["status"] == "applied"
            novel = await call(
                "check_novelty", source=task["baseline"]["source"]["untrusted"], search_id=search_id
            )
            assert novel["novel"] is False
            await call("heartbeat", search_id=search_id, task_id=task["task_id"])
            told = await call(
                "tell", search_id=search_id, task_id=task["task_id"], delta=delta, summary="GELU"
            )
            assert told["lease_had_lapsed"] is False
            verdict = await call("verdict", proposal_id=task["proposal_id"])
            while verdict["state"] in {"proposed", "applied", "novel", "evaluating"}:
                assert time.monotonic() < deadline + 200
                await asyncio.sleep(0.5)
                verdict = await call("verdict", proposal_id=task["proposal_id"])
            board = await call("leaderboard", search_id=search_id)
            assert verdict["proposal_id"] in {one["proposal_id"] for one in board["best"]}
            refused = await agent.call_tool("ask", {"search_id": "se_00"})
            assert refused.is_error
            assert "search_unknown" in refused.content[0].text
            return verdict

    verdict = asyncio.run(drive())
    assert verdict["state"] == "judged"
    assert verdict["proposer"] == "external/over-mcp"
    assert verdict["accuracy"] > 0.1
    assert server.finished_search(search_id)["state"] == "succeeded"


def _gelu_for_relu(source: str) -> str:
    changed = source.replace("nn.ReLU(", "nn.GELU(")
    assert changed != source
    lines = difflib.unified_diff(source.splitlines(True), changed.splitlines(True), "a/net.py", "b/net.py")
    return "".join(lines)
