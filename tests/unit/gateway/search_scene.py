"""A search on a real journal between fakes, for the tests of the loop."""

import atexit
import shutil
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from fakes import FakeFarm, FakeFilter, FakeGenerator, baseline
from fresh_databases import copy_of, hurried, url_in

import gateway.infra.search_tables  # noqa: F401 - registers its tables
from contracts.jobs import BaselineNetwork
from gateway.domain.quotas import Quota
from gateway.domain.search import SearchRequest
from gateway.infra.candidate_store import CandidateStore
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.rerun_journal import RerunJournal
from gateway.infra.search_store import SearchStore
from gateway.loop.novelty_indexes import SharedIndexes
from gateway.loop.search_run import SearchRun

AMPLE = Quota(1.0, queued=10_000, running=None, gpu_seconds_per_day=None, storage_bytes=None, searches=100)
"""Of a tenant that nothing keeps waiting."""
BASELINES = (baseline("oak"), baseline("elm", "residual", hyperparameters={"lr": 0.01}))


def request(**fields) -> SearchRequest:
    usual = {
        "name": "trees",
        "dataset": "digits",
        "baselines": tuple(network.name for network in BASELINES),
        "cycles": 2,
        "candidates_per_cycle": 4,
        "seed": 3,
        "elites": 3,
        "final_seeds": 2,
    }
    return SearchRequest(**{**usual, **fields})


def new_database(folder: Path, name: str = "gateway") -> Database:
    return hurried(Database(url_in(folder, name)))


def accept(
    database: Database,
    wanted: SearchRequest,
    baselines=BASELINES,
    classes: int | None = 10,
    tenant: str = "local",
) -> str:
    store = SearchStore(database, EvaluationStore(database))
    with database.write() as session:
        return store.create(session, tenant, wanted, baselines, classes)


@dataclass
class Scene:
    database: Database
    search_id: str
    generator: FakeGenerator = field(default_factory=FakeGenerator)
    filter: FakeFilter = field(default_factory=FakeFilter)
    shipped: tuple[BaselineNetwork, ...] = (*BASELINES, baseline("yew"))
    indexes: SharedIndexes | None = None

    def __post_init__(self) -> None:
        self.indexes = self.indexes or SharedIndexes(self.database, lambda: list(self.shipped), self.filter)

    @property
    def store(self) -> SearchStore:
        return SearchStore(self.database, EvaluationStore(self.database))

    @property
    def candidates(self) -> CandidateStore:
        return CandidateStore(self.database)

    @property
    def journal(self) -> RerunJournal:
        return RerunJournal(self.database, EvaluationStore(self.database), self.search_id)

    @property
    def farm(self) -> FakeFarm:
        return FakeFarm(self.database)

    def run(self) -> SearchRun:
        return SearchRun(self.journal, self.generator, self.filter, self.indexes)

    def finish(self, run: SearchRun | None = None) -> None:
        """Advance and let the farm work, in turns, until the search has ended."""
        run = run or self.run()
        while not run.advance():
            assert self.farm.work() > 0, "the search waits although no evaluation is open"

    def story(self) -> dict:
        """Everything that equal seeds must repeat, without the search's id."""
        document = self.store.document(self.search_id)
        return {
            "slots": [
                (
                    slot.cycle,
                    slot.slot,
                    slot.state,
                    slot.candidate_id,
                    slot.summary,
                    slot.delta,
                    slot.failure,
                    slot.elite,
                    slot.score and slot.score.accuracy,
                    slot.score and slot.score.estimate,
                    [
                        (run.purpose, run.cycle, run.place, run.seed, run.epochs, run.state, run.accuracy)
                        for run in slot.reruns
                    ],
                    _place(slot.parent_id),
                    _place(slot.duplicate_of),
                    (slot.traced, slot.structure_key),
                    slot.likeness and replace(slot.likeness, proposal_id=_place(slot.likeness.proposal_id)),
                )
                for slot in self.journal.slots()
            ],
            "final": [
                (_place(run.proposal_id), run.seed, run.evaluation.measurement.audit_accuracy)
                for run in self.journal.final_runs()
            ],
            "funnel": document["funnel"],
            "model": [cycle["model"] for cycle in self.store.cycles(self.search_id)],
            "stopped_by": document["stopped_by"],
            "diagnostics": self.candidates.diagnostics(self.search_id) | {"search_id": ""},
        }


def _place(proposal_id: str | None) -> str | None:
    return proposal_id and proposal_id.split("-", 1)[1]


def new_scene(folder: Path, name: str = "gateway", **fields) -> Scene:
    database = new_database(folder, name)
    return Scene(database, accept(database, request(**fields)))


def with_a_finished_search(folder: Path) -> tuple[str, str]:
    """The URL of a new database with a search that has ended, and the search's id."""
    url, search_id = _finished()
    return copy_of(url, folder), search_id


@cache
def _finished() -> tuple[str, str]:
    """A search takes its time, once for all tests."""
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    scene = new_scene(folder)
    scene.finish()
    scene.database.close()
    return url_in(folder), scene.search_id
