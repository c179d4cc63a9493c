"""The live family under attack: what it holds, and what its refusals must look like."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from live_server import DATASET, Server
from sample_networks import LINEAR

MOST_OPEN = 24
GOOD = {"source": LINEAR, "dataset": DATASET}
WAITING = GOOD | {"minimum_tier": "docker+runsc"}
"""Stays in the queue: no sandbox of that tier is there."""


class AttackedServer(Server):
    """A server whose queue is short enough to be flooded."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"DELTANAS_MAX_OPEN_EVALUATIONS": str(MOST_OPEN)}


@dataclass
class Target:
    """The server under attack, and what it holds that nobody may change or read."""

    server: Server
    http: httpx.Client
    canary: Path
    first_processes: dict[str, int]

    def stored(self) -> dict[str, Any]:
        """Everything that a refused call must leave as it is."""
        datasets = self.server.home / "datasets"
        evaluations = self.http.get("/v1/evaluations", params={"limit": 200}).json()["items"]
        return {
            "evaluations": [one["id"] for one in evaluations],
            "searches": [one["id"] for one in self.http.get("/v1/searches").json()["items"]],
            "datasets": [
                one["name"] for one in self.http.get("/v1/datasets").json()["items"] if one["ready"]
            ],
            "files": sorted(path.name for path in datasets.iterdir()),
            "canary": self.canary.exists(),
        }

    def check(self, answer: httpx.Response) -> None:
        """An answer tells nothing of the machine behind it, and the server goes on."""
        told = answer.text
        secrets = (str(self.server.home), "Traceback", "site-packages", "sqlalchemy", "sqlite", "root:x:0")
        for secret in secrets:
            assert secret not in told, told[:2000]
        assert self.http.get("/healthz").json() == {"status": "ok"}

    def submit(self, **fields: Any) -> str:
        """The id of a new evaluation."""
        made = self.http.post("/v1/evaluations", json=GOOD | fields)
        assert made.status_code == 202, made.text
        return made.json()["id"]

    def ended(self, evaluation: str) -> dict[str, Any]:
        """It, once it has ended."""
        while True:
            found = self.http.get(f"/v1/evaluations/{evaluation}", params={"wait": 30}).json()
            if found["state"] not in {"queued", "running"}:
                return found

    def log(self, evaluation: str) -> str:
        """What it printed."""
        return self.http.get(f"/v1/evaluations/{evaluation}/logs").json()["items"][0]["log"]

    def cancel(self, evaluation: str) -> None:
        """End it before it runs."""
        assert self.http.delete(f"/v1/evaluations/{evaluation}").json()["state"] == "cancelled"


def refused(
    target: Target, answer: httpx.Response, status: int, code: str, names: str = ""
) -> dict[str, Any]:
    """The answer is this problem, about this field, and gives nothing away."""
    assert answer.status_code == status, answer.text[:2000]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code, problem
    assert (problem.get("field") or "").startswith(names), problem
    assert len(answer.content) < 20_000
    target.check(answer)
    return problem
