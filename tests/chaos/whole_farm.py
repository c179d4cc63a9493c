"""A farm as operators run it: two gateways behind a balancer, PostgreSQL, Redis, services, runner hosts.

All of it is real. The test plays the service manager, which starts again what has died.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from balancer import Balancer
from member import Member
from postgres_server import PostgresServer, binaries
from processes import descendants_of, is_running, until
from redis_server import RedisServer
from runner_host import AGENT, RUNNER, RunnerHost
from wires import Wire

from contracts.service_gate import token_digest
from gateway.infra.database import Database

TOKEN = "family-token"
LEASE_SECONDS = 10.0
WORK_LEASE_SECONDS = 4.0
REPUBLISH_SECONDS = 5.0
START_SECONDS = 1200
"""Much longer than it takes, but for a machine that does ten other things."""
LOOK_AGAIN_SECONDS = 0.1
ANSWER_SECONDS = 120
DOWN_SECONDS = 2.0
"""For so long a dead member stays dead."""


@dataclass(frozen=True)
class Victim:
    """A part that can be killed."""

    name: str
    kill: Callable[[], object]
    """Ends it with SIGKILL; False where there was none to end."""
    host: RunnerHost | None = None
    """Whose attempts die with it."""


@contextmanager
def running_farm(
    folder: Path,
    make_server: Callable[[], PostgresServer] = PostgresServer,
    within: Mapping[str, tuple[str, ...]] | None = None,
) -> "Iterator[WholeFarm]":
    """A farm that serves, on a database server of its own; without PostgreSQL the test is left out."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: bash deploy/system-packages.sh postgresql")
    with closing(make_server()) as server:
        server.start()
        with closing(WholeFarm(folder, server, within=within)) as farm:
            yield farm.start()


class WholeFarm:
    """Everything in one folder. `tend`, called all the time, starts again what has died."""

    def __init__(
        self,
        folder: Path,
        postgres: PostgresServer,
        *,
        within: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """`within`: commands that gateways run in, by name."""
        self.folder = folder
        self.postgres = postgres
        self._within = dict(within or {})
        self.url = postgres.url(postgres.new_database())
        self.redis = RedisServer(folder)
        self.redis.start()
        services = [
            self._service("generator", "generator_svc"),
            self._service("filter", "filter_svc"),
        ]
        self.gateways = [self._gateway("one"), self._gateway("other")]
        self.balancer = Balancer([str(gateway.home / "g.sock") for gateway in self.gateways])
        self.hosts = [
            self.add_host(f"host-{number}", f"http://127.0.0.1:{self.balancer.port}", self.redis.url)
            for number in (1, 2)
        ]
        self.members: list[Member] = [*services, *self.gateways, *self.hosts]
        self._dead_since: dict[str, float] = {}
        # A connection for each request: gateways die, and kept ones with them.
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.balancer.port}",
            timeout=ANSWER_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self.database = Database(self.url, connections=5)

    # --- its life --------------------------------------------------------------------------------

    def start(self) -> "WholeFarm":
        for member in self.members:
            member.start()
        self.tend_until(self.serves)
        return self

    def serves(self) -> bool:
        """Whether both gateways answer and every host lends sandboxes."""
        with suppress(httpx.HTTPError):
            agents = self.http.get("/v1/capabilities").json().get("agents", [])
            lending = {agent["id"] for agent in agents if agent["capabilities"]["tier"] is not None}
            return lending >= {host.name for host in self.hosts} and all(map(self.answers, self.gateways))
        return False

    def answers(self, gateway: Member) -> bool:
        with suppress(httpx.HTTPError), self.client_of(gateway) as client:
            return client.get("/healthz").status_code == 200
        return False

    def client_of(self, gateway: Member) -> httpx.Client:
        """To one gateway itself, past the balancer."""
        transport = httpx.HTTPTransport(uds=str(gateway.home / "g.sock"))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=ANSWER_SECONDS)

    def tend(self) -> None:
        """Start again what has been dead for a while."""
        for member in self.members:
            self._start_again(member.name, member.runs, member.start)
        broker = self.redis.process
        self._start_again("broker", broker is not None and broker.poll() is None, self.redis.start)
        server = self.postgres.process
        self._start_again("database", server is not None and server.poll() is None, self.postgres.start)

    def _start_again(self, name: str, runs: bool, start: Callable[[], object]) -> None:
        if runs:
            self._dead_since.pop(name, None)
        elif time.monotonic() - self._dead_since.setdefault(name, time.monotonic()) > DOWN_SECONDS:
            del self._dead_since[name]
            start()

    def tend_for(self, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            self.tend()
            time.sleep(LOOK_AGAIN_SECONDS)

    def tend_until(self, condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
        def reached() -> object:
            self.tend()
            time.sleep(LOOK_AGAIN_SECONDS)
            return condition()

        until(reached, seconds, self.words)

    def words(self) -> str:
        """The last words of everybody."""
        return "\n".join(f"=== {member.name}\n{member.words()}" for member in self.members)

    def close(self) -> None:
        self.http.close()
        for member in reversed(self.members):
            member.kill()
        self.balancer.close()
        self.redis.end()
        self.database.close()

    # --- whom one can kill -----------------------------------------------------------------------

    @property
    def victims(self) -> list[Victim]:
        """Each part of it."""
        victims = [Victim("broker", self.redis.kill), Victim("database", self.kill_database)]
        victims += [Victim(f"gateway {gateway.name}", gateway.kill) for gateway in self.gateways]
        for host in self.hosts:
            victims += [
                Victim(f"all of {host.name}", host.kill, host),
                Victim(f"agent of {host.name}", partial(host.kill_one, AGENT), host),
                Victim(f"runner of {host.name}", partial(host.kill_one, RUNNER), host),
                Victim(f"sandbox on {host.name}", host.kill_a_sandbox, host),
            ]
        return victims

    def kill_database(self) -> None:
        if self.postgres.process is None:
            return
        children = descendants_of(self.postgres.process.pid)
        self.postgres.kill()
        until(lambda: not any(map(is_running, children)), 60, "the server's children have noticed")

    # --- its parts -------------------------------------------------------------------------------

    def add_host(
        self, name: str, gateway_url: str, broker_url: str, within: tuple[str, ...] = ()
    ) -> RunnerHost:
        """A further host, to be started."""
        return RunnerHost(name, self.folder, gateway_url, broker_url, TOKEN, within)

    def _service(self, name: str, module: str) -> Member:
        address = f"unix:{self.folder}/{name}/s.sock"
        settings = {f"{name}_address": address, "service_token_sha256": token_digest(TOKEN)}
        return Member(name, module, self.folder, settings)

    def _gateway(self, name: str) -> Member:
        settings = {
            "gateway_address": f"unix:{self.folder}/{name}/g.sock",
            "generator_address": f"unix:{self.folder}/generator/s.sock",
            "filter_address": f"unix:{self.folder}/filter/s.sock",
            "runner_address": f"unix:{self.folder}/nowhere.sock",
            "database_url": self.url,
            "broker_url": self.redis.url,
            "service_token": TOKEN,
            "lease_seconds": str(LEASE_SECONDS),
            "work_lease_seconds": str(WORK_LEASE_SECONDS),
            "republish_seconds": str(REPUBLISH_SECONDS),
            # Without keys a gateway answers to the names of this machine, and to those that it is told.
            "allowed_hosts": Wire.NEAR,
        }
        return Member(name, "gateway", self.folder, settings, within=self._within.get(name, ()))
