"""A gateway on a port, with the real generator and filter where wanted, and a few things in its database."""

import socket

import httpx
from fakes import FakeAgent
from farm import START_SECONDS, TOKEN, Process
from fresh_databases import sqlite_url
from processes import until

from contracts.service_gate import token_digest
from gateway.domain.access import KeyScope
from gateway.infra.api_keys import ApiKeyStore
from gateway.infra.database import Database

MODULES = {"generator": "generator_svc", "filter": "filter_svc", "runner": "sandbox_runner"}
SOURCE = "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"


class ApiFamily:
    """`with_keys`: the gateway asks for API keys, and `headers` bear one that opens everything."""

    def __init__(self, home, *, with_keys=False, services=tuple(MODULES)):
        port = _free_port()
        addresses = {name: f"unix:{home}/{name}.sock" for name in ("generator", "filter", "runner")}
        settings = {
            **{f"DELTANAS_{name.upper()}_ADDRESS": address for name, address in addresses.items()},
            "DELTANAS_GATEWAY_ADDRESS": f"http://127.0.0.1:{port}",
            "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(TOKEN),
            "DELTANAS_REQUESTS_PER_KEY": "100000000",
            "DELTANAS_REQUESTS_PER_ADDRESS": "100000000",
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
        self._services = services

    def start(self):
        for process in self.processes:
            process.start()
        until(self._answers, START_SECONDS, self.gateway.words)
        self.agent.heartbeat()
        # By the name of a path's parameter: something that is there.
        self.known = {
            "evaluation_id": self.make("/v1/evaluations", source=SOURCE, dataset="digits"),
            "endpoint_id": self.make("/v1/webhook-endpoints", url="http://127.0.0.1:9/", event_types=[]),
            "key_id": self.make("/v1/keys"),
            "tenant": "bees",
        }
        # By the first part of a path: something that has ended.
        self.ended = {"evaluations": self._ended("/v1/evaluations", source=SOURCE, dataset="digits", seed=1)}
        if "generator" in self._services:
            search = {"name": "s", "dataset": "digits", "proposer": {"kind": "external"}}
            self.known["search_id"] = self.make("/v1/searches", **search)
            self.ended["searches"] = self._ended("/v1/searches", **search)
        return self

    def make(self, path, **fields):
        answer = self.http.post(path, json=fields)
        assert answer.is_success, answer.text
        return answer.json()["id"]

    def close(self):
        for process in self.processes:
            process.kill()
        self.http.close()

    def _ended(self, path, **fields):
        made = self.make(path, **fields)
        ending = self.http.post(f"{path}/{made}:cancel")
        if not ending.is_success:
            ending = self.http.delete(f"{path}/{made}")
        assert ending.json()["state"] == "cancelled", ending.text
        return made

    def _answers(self):
        assert self.gateway.runs(), self.gateway.words()
        try:
            asked = self.http.get("/readyz").json()
        except httpx.TransportError:
            return False
        # A runner is ready with a sandbox; its data sets do not need one.
        wanted = {"database", *self._services} - {"runner"}
        return all(asked["checks"][name]["ok"] for name in wanted) and self._runner_answers()

    def _runner_answers(self):
        return "runner" not in self._services or self.http.get("/v1/datasets").is_success


def _key(url):
    database = Database(url)
    try:
        return ApiKeyStore(database).create("acme", "", tuple(KeyScope), None)[1]
    finally:
        database.close()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
