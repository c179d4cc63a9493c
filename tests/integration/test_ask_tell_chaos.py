"""Agents ask and tell while the gateway's process is killed again and again: every slot gets one answer."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fakes import FakeFarm, FakeFilter, FakeGenerator, baseline

from contracts.names import EXTERNAL_PROPOSER, SlotState
from deltanas.client import Client
from deltanas.errors import Conflict, ServerUnreachable
from gateway.domain.search import ProposerChoice, SearchRequest
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.rerun_journal import RerunJournal
from gateway.infra.schema_migrations import migrate
from gateway.infra.search_store import SearchStore
from gateway.loop.novelty_indexes import SharedIndexes
from gateway.loop.search_run import SearchRun

pytestmark = [pytest.mark.slow, pytest.mark.full]

SLOTS = 32
AGENTS = 4
KILLS = 2


class Killable:
    """The gateway as a process on a socket, without a conductor: what agents told stays as they told it."""

    def __init__(self, home: Path) -> None:
        self.address = f"unix:{home}/g.sock"
        nowhere = f"unix:{home}/nowhere.sock"
        services = {f"DELTANAS_{name}_ADDRESS": nowhere for name in ("GENERATOR", "FILTER", "RUNNER")}
        self._socket = home / "g.sock"
        self._environment = (
            os.environ
            | services
            | {
                "DELTANAS_HOME": str(home),
                "DELTANAS_GATEWAY_ADDRESS": self.address,
                "DELTANAS_CONDUCTOR": "false",
            }
        )
        self.start()

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen([sys.executable, "-m", "gateway"], env=self._environment)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


def open_search(database: Database) -> str:
    """A search whose baseline is measured, with all slots of its cycle waiting for agents."""
    evaluations = EvaluationStore(database)
    network = baseline("oak")
    request = SearchRequest(
        name="chaos",
        dataset="digits",
        baselines=("oak",),
        cycles=1,
        candidates_per_cycle=SLOTS,
        proposer=ProposerChoice(EXTERNAL_PROPOSER),
    )
    with database.write() as session:
        search_id = SearchStore(database, evaluations).create(session, "local", request, [network], 10)
    novelty = FakeFilter()
    indexes = SharedIndexes(database, lambda: [network], novelty)
    run = SearchRun(RerunJournal(database, evaluations, search_id), FakeGenerator(), novelty, indexes)
    assert not run.advance()
    assert FakeFarm(database).work() == 1
    assert not run.advance()
    return search_id


def answer_until_nothing_is_open(
    address: str, search_id: str, number: int, told: dict[str, list[str]]
) -> None:
    with Client(address) as client:
        while True:
            # The shortest lease: what a killed gateway has given to nobody is soon free again.
            try:
                answer = client.ask(search_id, tasks=2, lease_seconds=10, prompt=None, wait=1)
            except ServerUnreachable:
                continue
            if answer["reason"] == "search_at_work":
                return
            for task in answer["tasks"]:
                delta = f"grow {number}-{task['slot']}-{random.random()}"
                if tell_whatever_happens(client, task, delta):
                    told.setdefault(task["proposal_id"], []).append(delta)


def tell_whatever_happens(client: Client, task: dict, delta: str) -> bool:
    """Tell an answer again until the gateway is there to take it; False when the slot went to others."""
    while True:
        try:
            client.tell(task, delta=delta)
        except ServerUnreachable:
            continue
        except Conflict as error:
            if error.code == "lease_lost":
                return False
            raise
        return True


def test_no_answer_is_lost_and_no_slot_is_told_twice(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/gateway.sqlite3")
    migrate(database)
    search_id = open_search(database)
    told: dict[str, list[str]] = {}
    gateway = Killable(tmp_path)
    agents = [
        threading.Thread(target=answer_until_nothing_is_open, args=(gateway.address, search_id, n, told))
        for n in range(AGENTS)
    ]
    try:
        for agent in agents:
            agent.start()
        for kill in range(KILLS):
            answered = len(told)
            give_up = time.monotonic() + 60
            while len(told) < answered + SLOTS // (KILLS + 2):
                assert time.monotonic() < give_up, f"the gateway does not come back after {kill} kills"
                time.sleep(0.002)
            gateway.kill()
            gateway.start()
        for agent in agents:
            agent.join(120)
            assert not agent.is_alive()
    finally:
        gateway.kill()
    journal = RerunJournal(database, EvaluationStore(database), search_id)
    slots = journal.slots(1)
    assert {slot.state for slot in slots} == {SlotState.PROPOSED}
    assert set(told) == {slot.proposal_id for slot in slots}
    assert all(len(deltas) == 1 for deltas in told.values())
    assert all(journal.raw_proposal(name) == delta for name, (delta,) in told.items())
    database.close()
