"""A small farm of real processes: a gateway, and agents that hear of attempts from a real Redis."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import httpx
from processes import until

from contracts.service_gate import token_digest

TOKEN = "family-token"
SOURCE = "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"
LEASE_SECONDS = 10
REPUBLISH_SECONDS = 5
START_SECONDS = 300
"""Much longer than it takes, but for a machine that does ten other things."""


class Farm:
    """Everything in one folder. `broker_url` None: agents ask the gateway."""

    def __init__(self, home, broker_url, **gateway_settings):
        self.home = home
        self.broker_url = broker_url
        self.gateway = Process("gateway", home, self._gateway_environment(gateway_settings))
        # A connection for each request: a slow machine would find kept ones closed.
        transport = httpx.HTTPTransport(
            uds=str(home / "g.sock"), limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.http = httpx.Client(transport=transport, base_url="http://localhost", timeout=60)
        self.agents = {}

    def start_gateway(self):
        (self.home / "g.sock").unlink(missing_ok=True)
        self.gateway.start()
        until(self._is_up, START_SECONDS, lambda: f"the gateway answers: {self.gateway.words()}")
        return self

    def start_agent(self, name, runner_address, **settings):
        """An agent that is there and has told the gateway so."""
        environment = {
            "DELTANAS_GATEWAY_ADDRESS": f"unix:{self.home}/g.sock",
            "DELTANAS_RUNNER_ADDRESS": runner_address,
            "DELTANAS_SERVICE_TOKEN": TOKEN,
            "DELTANAS_AGENT_ID": name,
            "DELTANAS_AGENT_HEARTBEAT_SECONDS": "0.5",
            **({} if self.broker_url is None else {"DELTANAS_BROKER_URL": self.broker_url}),
            **{f"DELTANAS_{key.upper()}": str(value) for key, value in settings.items()},
        }
        agent = self.agents[name] = Process("sandbox_runner.agent", self.home, environment, name)
        agent.start()
        until(lambda: name in self.known_agents(), START_SECONDS, lambda: f"{name}: {agent.words()}")
        return agent

    def known_agents(self):
        return {agent["id"]: agent for agent in self.http.get("/v1/capabilities").json()["agents"]}

    def submit(self, count=1, first_seed=0, **fields):
        """Ids of so many different evaluations."""
        ids = []
        for seed in range(first_seed, first_seed + count):
            body = {"source": SOURCE, "dataset": "digits", "seed": seed, "reuse": False, **fields}
            answer = self.http.post("/v1/evaluations", json=body)
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
        return ids

    def read(self, evaluation_id):
        return self.http.get(f"/v1/evaluations/{evaluation_id}").json()

    def all_ended(self, ids, seconds=START_SECONDS):
        """The documents of these evaluations, once all have ended."""
        deadline = time.monotonic() + seconds
        ended = {}
        while len(ended) < len(ids):
            for evaluation_id in set(ids) - ended.keys():
                document = self.read(evaluation_id)
                if document["state"] in {"succeeded", "failed", "cancelled"}:
                    ended[evaluation_id] = document
            assert time.monotonic() < deadline, (
                f"{len(ids) - len(ended)} of {len(ids)} have not ended: "
                + str([self.read(one) for one in sorted(set(ids) - ended.keys())[:2]])
            )
            time.sleep(0.05)
        return list(ended.values())

    def clear(self):
        """End the agents and forget them, and cancel what is open, so that the next test begins anew."""
        for agent in self.agents.values():
            agent.kill()
        self.agents.clear()
        for page in ("queued", "running"):
            for item in self.http.get("/v1/evaluations", params={"state": page}).json()["items"]:
                self.http.delete(f"/v1/evaluations/{item['id']}")
        with closing(sqlite3.connect(self.home / "gateway.sqlite3", timeout=60)) as database, database:
            database.execute("DELETE FROM agents")

    def close(self):
        for process in (*self.agents.values(), self.gateway):
            process.kill()
        self.http.close()

    def _is_up(self):
        assert self.gateway.runs(), self.gateway.words()
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def _gateway_environment(self, settings):
        nowhere = f"unix:{self.home}/nowhere.sock"
        return {
            "DELTANAS_GATEWAY_ADDRESS": f"unix:{self.home}/g.sock",
            "DELTANAS_GENERATOR_ADDRESS": nowhere,
            "DELTANAS_FILTER_ADDRESS": nowhere,
            "DELTANAS_RUNNER_ADDRESS": nowhere,
            "DELTANAS_SERVICE_TOKEN": TOKEN,
            "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(TOKEN),
            "DELTANAS_LEASE_SECONDS": str(LEASE_SECONDS),
            "DELTANAS_REPUBLISH_SECONDS": str(REPUBLISH_SECONDS),
            **({} if self.broker_url is None else {"DELTANAS_BROKER_URL": self.broker_url}),
            **{f"DELTANAS_{key.upper()}": str(value) for key, value in settings.items()},
        }


class Process:
    """`python -m module`, with its environment spelled out and its words kept."""

    def __init__(self, module, home, environment, name=None):
        self._module = module
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DELTANAS_HOME": str(home)}
        self._environment |= environment | {"DELTANAS_LOG_FORMAT": "text"}
        if "PYTHONPATH" in os.environ:
            self._environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        self.log = home / f"{name or module}.log"
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.runs():
            self.process.kill()
            self.process.wait()

    def end(self, seconds=START_SECONDS):
        """Tell it to end; its exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(seconds)

    def words(self):
        return self.log.read_text()[-4000:] if self.log.exists() else ""
