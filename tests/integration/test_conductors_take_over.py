"""Conductors in processes of their own on one PostgreSQL: whatever befalls one, a search is driven by one."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fakes import FakeFarm

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from search_scene import Scene, accept, new_scene, request
from sqlalchemy import func, select

from gateway.infra.database import Database
from gateway.infra.events import read_events
from gateway.infra.search_store import search_topic
from gateway.infra.shared_signals import SharedSignals
from gateway.infra.tables import EvaluationRow
from gateway.infra.work_leases import WorkLeaseRow

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(1800)]

SEARCH = {"cycles": 2, "candidates_per_cycle": 4}
PATIENCE_SECONDS = 600
FARM_RESTS_SECONDS = 0.1
CONDUCTOR = """
import sys, threading
from types import SimpleNamespace
from fakes import FakeFilter, FakeGenerator
from search_scene import AMPLE
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.quotas import QuotaStore
from gateway.infra.search_store import SearchStore
from gateway.infra.shared_signals import SharedSignals
from gateway.infra.work_leases import WorkLeases
from gateway.loop.conductor import Conductor

database = Database(sys.argv[1])
evaluations = EvaluationStore(database)
services = SimpleNamespace(
    database=database, evaluations=evaluations, leases=WorkLeases(database, 2.0, "conductor"),
    quotas=QuotaStore(database, AMPLE), searches=SearchStore(database, evaluations),
    generator=FakeGenerator(), filter=FakeFilter(),
)
SharedSignals(database).start()
services.leases.start()
Conductor(services).start()
threading.Event().wait()
"""


class Conductors:
    """Processes that conduct, and the farm, which is the test."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._url = url
        self._signals = SharedSignals(self.database)
        self._signals.start()
        self.processes = [self.start() for _ in range(3)]
        self._over = threading.Event()
        self._farm = threading.Thread(target=self._work)
        self._farm.start()

    def start(self) -> "subprocess.Popen[bytes]":
        tests = Path(__file__).parents[1] / "unit"
        paths = os.pathsep.join((str(tests.parents[1]), str(tests), str(tests / "gateway")))
        command = [sys.executable, "-c", CONDUCTOR, self._url]
        return subprocess.Popen(command, env={"PATH": os.environ["PATH"], "PYTHONPATH": paths})

    def of(self, search_id: str) -> "subprocess.Popen[bytes] | None":
        """The process that holds the search's lease."""
        with self.database.read() as session:
            holder = session.scalar(
                select(WorkLeaseRow.holder).where(WorkLeaseRow.work == search_topic(search_id))
            )
        pid = int((holder or ":0#").partition("#")[0].rpartition(":")[2])
        return next((one for one in self.processes if one.pid == pid), None)

    def wait_for(self, condition) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < give_up, "it did not happen"
            time.sleep(0.02)

    def driver(self, search_id: str, besides=None) -> "subprocess.Popen[bytes]":
        """Who drives the search, once it is somebody besides that one."""
        self.wait_for(lambda: self.of(search_id) not in {None, besides})
        return self.of(search_id)

    def close(self) -> None:
        self._over.set()
        self._farm.join()
        for process in self.processes:
            process.kill()
            process.wait()
        self._signals.stop()
        self.database.close()

    def _work(self) -> None:
        while not self._over.wait(FARM_RESTS_SECONDS):
            FakeFarm(self.database).work(at_most=1)


@pytest.fixture
def conductors(postgres_url):
    conductors = Conductors(postgres_url)
    yield conductors
    conductors.close()


def test_conductors_that_die_stand_still_or_lose_the_database_leave_no_trace_in_a_search(
    conductors, postgres, tmp_path
):
    undisturbed = new_scene(tmp_path, **SEARCH)
    undisturbed.finish()
    search_id = accept(conductors.database, request(**SEARCH))
    scene = Scene(conductors.database, search_id)

    def done(least):
        def reached():
            progress = scene.store.document(search_id)["progress"]
            assert not scene.store.read(search_id).state.is_terminal, "over before anything could befall it"
            return progress["slots_done"] >= least

        conductors.wait_for(reached)

    killed = conductors.driver(search_id)
    done(1)
    killed.kill()
    killed.wait()
    stopped = conductors.driver(search_id, besides=killed)
    done(3)
    stopped.send_signal(signal.SIGSTOP)
    third = conductors.driver(search_id, besides=stopped)
    done(5)
    # It goes on where it stood, with a lease that is another one's by now.
    stopped.send_signal(signal.SIGCONT)
    done(6)
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{conductors.database.engine.url.database}' AND pid <> pg_backend_pid()"
        f" AND application_name <> 'deltanas {platform.node()} {os.getpid()}'"
    )
    conductors.wait_for(lambda: scene.store.read(search_id).state.is_terminal)
    assert len({killed.pid, stopped.pid, third.pid}) == 3
    assert scene.store.read(search_id).state == "succeeded"
    assert scene.story() == undisturbed.story()
    assert [one.poll() for one in conductors.processes].count(None) == 2
    events = Counter(event.type for event in read_events(conductors.database, search_topic(search_id), 0))
    before = Counter(
        event.type for event in read_events(undisturbed.database, search_topic(undisturbed.search_id), 0)
    )
    for kind in ("cycle_started", "cycle_finished", "slot", "finished"):
        assert events[kind] == before[kind]
    with conductors.database.read() as session, undisturbed.database.read() as calm:
        count = select(func.count()).select_from(EvaluationRow)
        assert session.scalar(count) == calm.scalar(count)


def test_searches_are_shared_out_and_each_is_driven_once(conductors):
    ids = [accept(conductors.database, request(cycles=1, candidates_per_cycle=2)) for _ in range(4)]
    scenes = [Scene(conductors.database, search_id) for search_id in ids]
    conductors.wait_for(lambda: all(scene.store.read(scene.search_id).state.is_terminal for scene in scenes))
    stories = [scene.story() for scene in scenes]
    assert all(story == stories[0] for story in stories)
    for search_id in ids:
        kinds = Counter(event.type for event in read_events(conductors.database, search_topic(search_id), 0))
        assert (kinds["cycle_finished"], kinds["finished"]) == (2, 1)
