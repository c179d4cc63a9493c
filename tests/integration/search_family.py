"""A conductor with the real generator and filter as processes; only the farm of runners is a fake."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

from fakes import FakeFarm
from fresh_databases import sqlite_url

from contracts.service_gate import token_digest
from gateway.domain.quotas import Quota
from gateway.domain.search import SearchRequest
from gateway.infra.candidate_store import CandidateStore
from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.filter_client import FilterClient
from gateway.infra.generator_client import GeneratorClient
from gateway.infra.quotas import QuotaStore
from gateway.infra.search_store import SearchStore
from gateway.infra.slot_journal import SlotJournal
from gateway.infra.work_leases import WorkLeases
from gateway.loop.conductor import Conductor

TOKEN = "family-token"
AMPLE = Quota(1.0, queued=10_000, running=None, gpu_seconds_per_day=None, storage_bytes=None, searches=100)
MODULES = {"generator": "generator_svc", "filter": "filter_svc"}


class Family:
    """Start, kill and restart its members; the database outlives them all."""

    def __init__(
        self,
        home: Path,
        settings: dict[str, str] | None = None,
        *,
        database_url: str | None = None,
        conducts: bool = True,
    ) -> None:
        """`settings` are environment variables of the members. Unless it `conducts`, somebody else has to."""
        self.home = home
        self._settings = settings or {}
        home.mkdir(parents=True, exist_ok=True)
        self.processes: dict[str, subprocess.Popen] = {}
        self.addresses = {name: f"unix:{home}/{name}.sock" for name in MODULES}
        self.database = Database(database_url or sqlite_url(home))
        evaluations = EvaluationStore(self.database)
        self.services = SimpleNamespace(
            database=self.database,
            leases=WorkLeases(self.database),
            quotas=QuotaStore(self.database, AMPLE),
            evaluations=evaluations,
            searches=SearchStore(self.database, evaluations),
            candidates=CandidateStore(self.database),
            generator=GeneratorClient(self.addresses["generator"], TOKEN),
            filter=FilterClient(self.addresses["filter"], TOKEN),
        )
        for name in MODULES:
            self.start(name)
        self._over = threading.Event()
        self._at_work = threading.Lock()
        self._farm = threading.Thread(target=self._work)
        self._farm.start()
        self.conductor = Conductor(self.services)
        self._conducts = conducts
        if conducts:
            self.conductor.start()

    def start(self, name: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "DELTANAS_HOME": str(self.home),
            f"DELTANAS_{name.upper()}_ADDRESS": self.addresses[name],
            "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(TOKEN),
            **self._settings,
        }
        self.processes[name] = subprocess.Popen([sys.executable, "-m", MODULES[name]], env=environment)

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def forget_index(self) -> None:
        """What a lost disk of the filter looks like. Kill it first."""
        shutil.rmtree(self.home / "filter")

    def restart_conductor(self) -> None:
        self.conductor.stop()
        self.conductor = Conductor(self.services)
        self.conductor.start()

    def search(self, **fields) -> str:
        """Accept a search over some of the shipped baselines."""
        self.wait_for(lambda: not self.services.generator.readiness_problems(), 60)
        known = {network.name: network for network in self.services.generator.baselines()}
        chosen = tuple(known)[:3]
        request = SearchRequest(name="real", dataset="digits", baselines=chosen, **fields)
        with self.database.write() as session:
            return self.services.searches.create(
                session, "local", request, [known[name] for name in chosen], 10
            )

    def finished(self, search_id: str, seconds: float = 120) -> dict:
        def ended():
            return self.services.searches.read(search_id).state.is_terminal

        self.wait_for(ended, seconds)
        return self.services.searches.document(search_id)

    def journal(self, search_id: str) -> SlotJournal:
        return SlotJournal(self.database, self.services.evaluations, search_id)

    def story(self, search_id: str) -> list[tuple]:
        return [
            (slot.cycle, slot.slot, slot.state, slot.summary, slot.candidate_id, slot.delta, slot.elite)
            for slot in self.journal(search_id).slots()
        ]

    def wait_for(self, condition, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up, "it did not happen in time"
            time.sleep(0.05)

    @contextmanager
    def farm_at_rest(self):
        """Evaluations wait meanwhile."""
        with self._at_work:
            yield

    def close(self) -> None:
        if self._conducts:
            self.conductor.stop()
        self._over.set()
        self._farm.join()
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.services.generator.close()
        self.services.filter.close()
        self.database.close()

    def _work(self) -> None:
        while not self._over.wait(0.05):
            with self._at_work, suppress(StorageUnavailable):
                FakeFarm(self.database).work(at_most=2)
