"""Two gateways on one PostgreSQL, with the real generator and filter; only the farm of runners is a fake."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
from fakes import capabilities
from search_family import TOKEN, Family
from sqlalchemy import select

from contracts.jobs import AgentHeartbeat
from contracts.names import SearchState
from gateway.infra.agent_directory import record_heartbeat
from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.events import read_events
from gateway.infra.search_store import search_topic
from gateway.infra.work_leases import WorkLeaseRow

START_SECONDS = 400
LEASE_SECONDS = 2
HEARTBEAT_SECONDS = 3


class GatewayProcess:
    """`python -m gateway` on a state folder and a unix socket of its own."""

    def __init__(self, home: Path, settings: dict[str, str]) -> None:
        home.mkdir()
        self._settings = {
            "PATH": os.environ["PATH"],
            "DELTANAS_HOME": str(home),
            "DELTANAS_GATEWAY_ADDRESS": f"unix:{home}/g.sock",
            "DELTANAS_RUNNER_ADDRESS": f"unix:{home}/nowhere.sock",
            "DELTANAS_SERVICE_TOKEN": TOKEN,
            "DELTANAS_WORK_LEASE_SECONDS": str(LEASE_SECONDS),
            **settings,
        }
        self._socket = home / "g.sock"
        transport = httpx.HTTPTransport(uds=str(self._socket))
        self.http = httpx.Client(transport=transport, base_url="http://localhost", timeout=60)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self.process = subprocess.Popen([sys.executable, "-m", "gateway"], env=self._settings)

    def wait_until_ready(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while True:
            assert self.process is not None
            assert self.process.poll() is None, "the gateway ended"
            with suppress(httpx.TransportError):
                assert self.http.get("/healthz").status_code == 200
                return
            assert time.monotonic() < give_up, "the gateway does not answer"
            time.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        self.kill()
        self.http.close()


class GatewayPair:
    """Both gateways, and what they need. The test is the farm, and looks into the database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.family = Family(folder / "family", database_url=url, conducts=False)
        settings = {
            "DELTANAS_DATABASE_URL": url,
            "DELTANAS_GENERATOR_ADDRESS": self.family.addresses["generator"],
            "DELTANAS_FILTER_ADDRESS": self.family.addresses["filter"],
        }
        self.gateways = [GatewayProcess(folder / name, settings) for name in ("one", "other")]
        self._over = threading.Event()
        self._host = threading.Thread(target=self._be_a_live_host)
        self._host.start()
        for gateway in self.gateways:
            gateway.start()
        for gateway in self.gateways:
            gateway.wait_until_ready()

    @property
    def database(self) -> Database:
        return self.family.database

    def conductor_of(self, search_id: str) -> GatewayProcess | None:
        """The gateway that holds the search's lease."""
        with self.database.read() as session:
            holder = session.scalar(
                select(WorkLeaseRow.holder).where(WorkLeaseRow.work == search_topic(search_id))
            )
        pid = int((holder or ":0#").partition("#")[0].rpartition(":")[2])
        found = [one for one in self.gateways if one.process is not None and one.process.pid == pid]
        return found[0] if found else None

    def wait_for_conductor(self, search_id: str, besides: GatewayProcess | None = None) -> GatewayProcess:
        """The gateway that drives a search and is another one than that."""
        self.family.wait_for(lambda: self.conductor_of(search_id) not in {None, besides}, START_SECONDS)
        found = self.conductor_of(search_id)
        assert found is not None
        return found

    def slots_done(self, search_id: str) -> int:
        return int(self.family.services.searches.document(search_id)["progress"]["slots_done"])

    def kinds(self, search_id: str) -> list[str]:
        return [event.type for event in read_events(self.database, search_topic(search_id), 0)]

    def is_over(self, search_id: str) -> bool:
        return SearchState(self.family.services.searches.read(search_id).state).is_terminal

    def close(self) -> None:
        self._over.set()
        self._host.join()
        for gateway in self.gateways:
            gateway.close()
        self.family.close()

    def _be_a_live_host(self) -> None:
        """Somebody has the data set."""
        beat = AgentHeartbeat(capabilities())
        while not self._over.wait(HEARTBEAT_SECONDS):
            with suppress(StorageUnavailable), self.database.write() as session:
                record_heartbeat(session, "agent-1", beat)
