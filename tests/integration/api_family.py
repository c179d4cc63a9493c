"""A gateway on a port, with the real generator, filter and runner where wanted, and one of each thing."""

import io
import socket
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from fakes import FakeAgent
from farm import START_SECONDS, TOKEN, Process
from fresh_databases import sqlite_url
from lemur_wheels import SOURCE as NETWORK
from lemur_wheels import results_at, row, wheel
from processes import until

from contracts.service_gate import token_digest
from gateway.domain.access import KeyScope
from gateway.infra.api_keys import ApiKeyStore
from gateway.infra.database import Database

MODULES = {"generator": "generator_svc", "filter": "filter_svc", "runner": "sandbox_runner"}
SOURCE = "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"
EVALUATION = {"source": SOURCE, "dataset": "digits"}
OVER = {"cancelled", "failed", "succeeded"}
RECEIVER = "http://127.0.0.1:9/"
"""Nobody listens there."""
ASKING = (":ask", ":tell", ":heartbeat", ":release", "/candidates", "/candidates/{proposal_id}", "/elites")


@dataclass(frozen=True)
class Known:
    """What is there for a call to name, by the names of its parameters, and a body that is served."""

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None


class ApiFamily:
    """`with_keys`: the gateway asks for API keys, and `headers` bear one that opens everything."""

    needed_queries = frozenset({"name", "origin"})
    """Parameters without which a call is refused."""

    def __init__(self, home, *, with_keys=False, services=tuple(MODULES)):
        port = free_port()
        addresses = {name: f"unix:{home}/{name}.sock" for name in ("generator", "filter", "runner")}
        settings = {
            **{f"DELTANAS_{name.upper()}_ADDRESS": address for name, address in addresses.items()},
            "DELTANAS_GATEWAY_ADDRESS": f"http://127.0.0.1:{port}",
            "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(TOKEN),
            "DELTANAS_REQUESTS_PER_TENANT": "100000000",
            "DELTANAS_REQUESTS_PER_ADDRESS": "100000000",
            "DELTANAS_MAX_OPEN_SEARCHES": "100000",
            "DELTANAS_WEBHOOK_HTTP": "true",
            "DELTANAS_WEBHOOK_PORTS": "9",
            "DELTANAS_WEBHOOK_ALLOW": "127.0.0.1",
            "DELTANAS_RUNNER_WARM": "0",
        }
        url = sqlite_url(home)
        self.headers = {"authorization": f"Bearer {_key(url)}"} if with_keys else {}
        of_gateway = {"DELTANAS_SERVICE_TOKEN": TOKEN, "DELTANAS_REQUIRE_KEYS": str(with_keys)}
        self.gateway = Process("gateway", home, settings | of_gateway)
        self.processes = [self.gateway, *(Process(MODULES[name], home, settings) for name in services)]
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, headers=self.headers, timeout=60)
        self.agent = FakeAgent(httpx.Client(base_url=self.url, timeout=60), TOKEN)
        self._is_whole = set(services) == set(MODULES)
        self._things: dict[str, str] = {}
        self._ended: dict[str, str] = {}
        self._asked = ""
        """A search whose proposals come from outside, with slots to propose for."""
        self._pair: tuple[str, ...] = ()
        """Two searches that have come to their end, alike but for the filter."""

    def start(self):
        for process in self.processes:
            process.start()
        until(self._answers, START_SECONDS, self.gateway.words)
        self.agent.heartbeat()
        self._ended["evaluations"] = self._measured_evaluation()
        self.http.patch("/v1/tenants/bees", json={"weight": 2}).raise_for_status()
        if self._is_whole:
            self._bring_in_networks()
            self._ended["searches"] = self._cancelled_search()
            self._asked = self._search_that_asks()
            self._pair = (self._succeeded_search(0.9), self._succeeded_search(1.0))
            self._things["run_id"] = self.make("/v1/baselines:smoke", dataset="digits")
        self.replenish()
        return self

    def replenish(self):
        """Make anew what an earlier call has ended or removed."""
        self.agent.heartbeat()
        self._keep("evaluation_id", "/v1/evaluations", "queued", **EVALUATION, reuse=False)
        self._keep("endpoint_id", "/v1/webhook-endpoints", None, url=RECEIVER)
        self._keep("key_id", "/v1/keys", None)
        self._things["delivery_id"] = self.make(f"/v1/webhook-endpoints/{self._things['endpoint_id']}:test")
        if self._is_whole:
            self._keep("search_id", "/v1/searches", None, **self._search())
            asked = self.http.post(f"/v1/searches/{self._asked}:ask", json={"lease_seconds": 3600})
            self._things["task_id"] = asked.json()["tasks"][0]["task_id"]

    def known(self, label):
        """What a call, such as `GET /v1/keys/{key_id}`, can name."""
        path = label.partition(" ")[2]
        kind = path.split("/")[2] if path.count("/") > 1 else ""
        things = {**self._things, "tenant": "bees", "proposal_id": f"{self._asked}-c000-s000"}
        if kind == "datasets":
            things["name"] = "mnist" if path.endswith(":prepare") else "digits"
        elif self._is_whole:
            things["name"] = self._shipped
        if path.endswith("/events"):  # of what has not ended it would go on for ever
            things |= dict.fromkeys(("evaluation_id", "search_id"), self._ended.get(kind, "gone"))
        elif path.endswith("/logs"):
            things["evaluation_id"] = self._ended["evaluations"]
        elif path.endswith(":replay") and self._pair:
            things |= {"search_id": self._pair[0], "proposal_id": f"{self._pair[0]}-c001-s000"}
        elif path.endswith(ASKING):
            things["search_id"] = self._asked or "gone"
        named = {name: value for name, value in things.items() if f"{{{name}}}" in path}
        query = dict(zip(("with_filter", "without_filter"), self._pair, strict=False))
        return Known(named, query if path.endswith("/filter-effect") else {}, self._bodies().get(label))

    def document(self):
        """The gateway's OpenAPI document."""
        return self.http.get("/openapi.json").raise_for_status().json()

    def make(self, path, **fields):
        answer = self.http.post(path, json=fields)
        assert answer.is_success, answer.text
        return answer.json()["id"]

    def close(self):
        for process in self.processes:
            process.kill()
        self.http.close()

    def _bodies(self):
        bodies = {
            "POST /v1/evaluations": EVALUATION,
            "POST /v1/evaluations:batch": {"items": [EVALUATION, {}]},
            "POST /v1/webhook-endpoints": {"url": RECEIVER},
            "PATCH /v1/webhook-endpoints/{endpoint_id}": {"url": RECEIVER, "enabled": True},
            "POST /v1/keys": {"tenant": None, "scopes": ["read"]},
            "PATCH /v1/tenants/{tenant}": {"weight": 2},
            "POST /v1/tenants/{tenant}:remove": {"dry_run": True},
        }
        if not self._is_whole:
            return bodies
        task = {"task_id": self._things["task_id"]}
        return bodies | {
            "POST /v1/deltas:apply": {"baseline": self._shipped, "delta": "Nothing to change."},
            "POST /v1/novelty:check": {"source": self._source, "scope": "library"},
            "POST /v1/training-pairs": {"dataset": "mnist"},
            "POST /v1/baselines:smoke": {"dataset": "digits"},
            "POST /v1/baselines:import": b"not a wheel",
            "POST /v1/datasets": _own_data(),
            "POST /v1/searches": self._search(),
            "POST /v1/searches/{search_id}:tell": task | {"source": SOURCE},
            "POST /v1/searches/{search_id}:heartbeat": task,
            "POST /v1/searches/{search_id}:release": task,
        }

    def _keep(self, name, path, state, **fields):
        """See that there is one that can be used still."""
        there = name in self._things and self.http.get(f"{path}/{self._things[name]}")
        document = there.json() if there and there.is_success else {}
        is_over = document.get("state") in OVER or not document.get("in_force", True)
        if not document or is_over or (state is not None and document["state"] != state):
            self._things[name] = self.make(path, **fields)

    def _search(self):
        proposer = {"kind": "external"}
        return {"dataset": "digits", "proposer": proposer, "baselines": [self._shipped]}

    def _measured_evaluation(self):
        """One that has ended with all that an evaluation can have."""
        made = self.make("/v1/evaluations", **EVALUATION, seed=1)
        assert self.agent.report(self.agent.claim_next(wait=10)).is_success
        assert self.http.get(f"/v1/evaluations/{made}").json()["measurement"]
        return made

    def _bring_in_networks(self):
        networks = {"ab/nn/nn/Elm.py": NETWORK, results_at("Elm"): [row(0.5)]}
        content = wheel(networks).getvalue()
        octets = {"content-type": "application/octet-stream"}
        sent = self.http.post("/v1/baselines:import?origin=lemur", content=content, headers=octets)
        self._things["import_id"] = sent.json()["id"]
        path = f"/v1/baselines/imports/{sent.json()['id']}"
        until(
            lambda: self.http.get(path).json()["state"] == "succeeded",
            START_SECONDS,
            lambda: self.http.get(path).text,
        )
        self._shipped = self.http.get("/v1/baselines?origin=deltanas").json()["items"][0]["name"]
        self._source = self.http.get(f"/v1/baselines/{self._shipped}").json()["source"]

    def _cancelled_search(self):
        made = self.make("/v1/searches", **self._search())
        assert self.http.post(f"/v1/searches/{made}:cancel").json()["state"] == "cancelled"
        return made

    def _search_that_asks(self):
        """One whose baseline is measured, so that there are slots to propose for."""
        made = self.make("/v1/searches", **self._search(), candidates_per_cycle=200)

        def asks():
            self._measure_next()
            answer = self.http.post(f"/v1/searches/{made}:ask", json={"lease_seconds": 10})
            return answer.is_success and answer.json()["tasks"]

        until(asks, START_SECONDS, self.gateway.words)
        return made

    def _succeeded_search(self, threshold):
        asked = {"dataset": "digits", "baselines": [self._shipped], "proposer": {"kind": "mutation"}}
        rounds = {"cycles": 1, "candidates_per_cycle": 2, "final_seeds": 2}
        made = self.make("/v1/searches", **asked, **rounds, seed=1, novelty={"threshold": threshold})

        def has_ended():
            self._measure_next()
            return self.http.get(f"/v1/searches/{made}").json()["state"] == "succeeded"

        until(has_ended, START_SECONDS, self.gateway.words)
        return made

    def _measure_next(self):
        self.agent.heartbeat()
        attempt = self.agent.next(wait=1)
        if attempt is not None:
            assert self.agent.report(self.agent.claim(attempt)).is_success

    def _answers(self):
        assert self.gateway.runs(), self.gateway.words()
        try:
            asked = self.http.get("/readyz").json()
        except httpx.TransportError:
            return False
        # A runner is ready with a sandbox; its data sets do not need one.
        wanted = {"database", *(MODULES if self._is_whole else ())} - {"runner"}
        return all(asked["checks"][name]["ok"] for name in wanted) and self._runner_answers()

    def _runner_answers(self):
        return not self._is_whole or self.http.get("/v1/datasets").is_success


def _own_data():
    """A small data set as .npz."""
    file = io.BytesIO()
    images = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)
    np.savez(file, images=images, labels=np.arange(40) % 4)
    return file.getvalue()


def _key(url):
    database = Database(url)
    try:
        return ApiKeyStore(database).create("acme", "", tuple(KeyScope), None)[1]
    finally:
        database.close()


def free_port():
    """One that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
