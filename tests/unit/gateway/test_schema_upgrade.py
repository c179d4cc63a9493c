"""The schema goes up and down again with data in it, and nothing that was there is lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import gateway.infra.events
import gateway.infra.fine_tune_attempt_tables
import gateway.infra.fine_tune_tables
import gateway.infra.publication_tables
import gateway.infra.search_tables
import gateway.infra.tables
import gateway.infra.tenant_tables  # noqa: F401 - they register their tables
from contracts.proposals import DeploymentLimits, EditPermissions
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.model_budget import ModelBudget
from gateway.domain.novelty import NoveltyRules
from gateway.infra.candidate_store import CandidateStore
from gateway.infra.database import Base, Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.schema_migrations import alembic_config
from gateway.infra.search_store import SearchStore

MOMENT = datetime(2026, 1, 2, 3, 4, 5)
REQUEST = {
    "name": "old", "dataset": "digits", "baselines": ["oak"], "cycles": 1, "candidates_per_cycle": 6,
    "seed": 0, "proposer": {"kind": "mutation", "options": {}}, "epochs": 1, "train_images": None,
    "limits": {}, "threads": 1, "device": "cpu", "minimum_tier": "namespaces", "integrity": "standard",
    "novelty_threshold": 0.9, "elites": 8, "final_seeds": 3,
}  # fmt: skip
REFUSAL = {"reason": "delta_rejected", "message": "no place", "code": "hunk_unplaceable"}
RULE = {"reason": "policy_violation", "message": "too large", "code": ""}
SLOTS = (
    (0, 0, "judged", "class Net", None),
    (1, 0, "judged", "class Net 1", None),
    (1, 1, "duplicate", "class Net 2", None),
    (1, 2, "refused", None, REFUSAL),
    (1, 3, "refused", None, RULE),
    (1, 4, "pending", None, None),
    (1, 5, "lost", None, {"reason": "infrastructure", "message": "gone", "code": ""}),
)


@dataclass(frozen=True)
class Schema:
    """A database, and its way to any revision."""

    database: Database

    def upgrade(self, revision: str) -> None:
        self._go(command.upgrade, revision)

    def downgrade(self, revision: str) -> None:
        self._go(command.downgrade, revision)

    def _go(self, direction, revision):
        with self.database.engine.begin() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            direction(config, revision)

    def insert(self, name: str, *rows: dict) -> None:
        with self.database.engine.begin() as connection:
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            connection.execute(sa.insert(table), list(rows))

    def contents(self) -> dict[str, list[tuple]]:
        """Every row of every table, but for Alembic's own."""
        with self.database.engine.connect() as connection:
            metadata = sa.MetaData()
            metadata.reflect(connection)
            return {
                table.name: [tuple(row._mapping.items()) for row in connection.execute(sa.select(table))]
                for table in metadata.sorted_tables
                if table.name != "alembic_version"
            }


@pytest.fixture
def schema(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/old.sqlite3")
    yield Schema(database)
    database.close()


@pytest.fixture
def first(schema):
    """The first schema, with a search, its slots, and an evaluation with its attempt and tag."""
    schema.upgrade("0001")
    schema.insert(
        "searches",
        {
            "id": "se_1", "tenant": "local", "name": "old", "state": "running", "request": REQUEST,
            "classes": 10, "split_key": "k", "cycle": 1, "created_at": MOMENT,
        },
    )  # fmt: skip
    schema.insert("cycles", *({"search_id": "se_1", "cycle": n, "opened_at": MOMENT} for n in (0, 1)))
    schema.insert("slots", *(_slot(*slot) for slot in SLOTS))
    schema.insert(
        "evaluations",
        {
            "id": "ev_1", "tenant": "local", "state": "running", "candidate_id": "c", "source": "s",
            "request": {}, "dataset": "digits", "device": "cpu", "tier_strength": 0, "priority": 0,
            "scored_on": "all", "split_key": "k", "reuse_key": "r", "flags": [], "created_at": MOMENT,
        },
    )  # fmt: skip
    schema.insert(
        "attempts",
        {
            "id": "at_1", "evaluation_id": "ev_1", "fence": 1, "seed": 0, "state": "leased",
            "shuffle_key": "k", "available_at": MOMENT, "flags": [], "log": "", "created_at": MOMENT,
        },
    )  # fmt: skip
    schema.insert("evaluation_tags", {"evaluation_id": "ev_1", "tag": "mine"})
    return schema


def _slot(cycle, number, state, source, failure):
    return {
        "proposal_id": f"se_1-c{cycle:03d}-s{number:03d}", "search_id": "se_1", "cycle": cycle,
        "slot": number, "state": state, "name": "n", "root_id": "se_1-c000-s000", "family": "f",
        "hyperparameters": {},
        "summary": "", "source": source, "failure": failure, "admitted": False, "elite": False,
        "step_errors": 0,
    }  # fmt: skip


def test_what_older_slots_tell_of_their_deltas_is_counted(first):
    first.upgrade("0002")
    told = {
        dict(row)["proposal_id"][-4:]: (dict(row)["proposer"], dict(row)["delta_code"])
        for row in first.contents()["slots"]
        if dict(row)["cycle"] == 1
    }
    assert told == {
        "s000": ("mutation", "applied"),
        "s001": ("mutation", "applied"),
        "s002": ("mutation", "hunk_unplaceable"),
        "s003": ("mutation", "policy_violation"),
        "s004": (None, None),
        "s005": (None, None),
    }


def test_an_older_search_is_read_and_may_be_edited_everywhere(first):
    first.upgrade("head")
    store = SearchStore(first.database, EvaluationStore(first.database))
    assert store.read("se_1").request.edits == EditPermissions()
    found = CandidateStore(first.database).diagnostics("se_1")
    assert [(record["answered"], record["applied"]) for record in found["proposals"]] == [(4, 2)]
    assert (found["hunks"], found["repairs"]) == ([], [])
    assert [cycle["delta_failures"] for cycle in store.cycles("se_1")] == [
        {},
        {"hunk_unplaceable": 1, "policy_violation": 1},
    ]


def test_going_up_and_down_again_keeps_every_row_as_it_was(first):
    before = first.contents()
    assert all(before[name] for name in ("searches", "slots", "evaluations", "attempts", "evaluation_tags"))
    first.upgrade("0002")
    (evaluation,) = first.contents()["evaluations"]
    assert dict(evaluation)["kind"] == "evaluate"
    first.downgrade("0001")
    assert first.contents() == before


def test_an_older_search_has_no_memory_no_limits_and_no_budget(first):
    first.upgrade("head")
    store = SearchStore(first.database, EvaluationStore(first.database))
    request = store.read("se_1").request
    assert (request.feedback, request.model_budget) == (FeedbackMemory(), ModelBudget())
    assert request.deployment == DeploymentLimits()
    document = store.document("se_1")
    assert (document["paused_by"], document["stopped_by"], document["model"]["calls"]) == (None, None, 0)
    assert CandidateStore(first.database).read("se_1", "se_1-c001-s000")["calls"] == []


def test_what_an_older_version_does_not_know_is_taken_away_on_the_way_down(first):
    first.upgrade("0003")
    before = first.contents()
    first.upgrade("0004")
    newer = REQUEST | {"feedback": {"window": 5}, "deployment": {}, "model_budget": {"max_calls": 9}}
    searches, slots = (
        sa.table("searches", sa.column("request", sa.JSON)),
        sa.table("slots", sa.column("state")),
    )
    with first.database.engine.begin() as connection:
        connection.execute(sa.update(searches).values(request=newer))
        connection.execute(sa.update(slots).where(slots.c.state == "pending").values(state="skipped"))
    first.insert(
        "model_calls",
        {
            "proposal_id": "se_1-c001-s000", "place": 0, "search_id": "se_1", "cycle": 1, "role": "proposal",
            "model": "m", "prompt_version": "v", "messages": [["user", "d"]], "sampling": {}, "answer": "a",
            "finish_reason": "stop", "seconds": 1.0,
        },
    )  # fmt: skip
    first.insert("prompt_texts", {"search_id": "se_1", "sha256": "d", "text": "t"})
    first.downgrade("0003")
    after = first.contents()
    assert dict(after["searches"][0])["request"] == REQUEST
    states = [dict(row)["state"] for row in after["slots"]]
    assert "skipped" not in states
    assert states.count("lost") == 1 + [slot[2] for slot in SLOTS].count("lost")
    assert {name: len(rows) for name, rows in after.items()} == {
        name: len(rows) for name, rows in before.items()
    }


def test_what_a_search_said_goes_with_it(first):
    first.upgrade("0004")
    first.insert("prompt_texts", {"search_id": "se_1", "sha256": "d", "text": "t"})
    with first.database.write() as session:
        session.execute(sa.text("DELETE FROM searches"))
    assert first.contents()["prompt_texts"] == first.contents()["model_calls"] == []


def test_attempts_that_were_given_back_are_still_tried_again_by_an_older_version(first):
    first.upgrade("head")
    agent = {"id": "a", "capabilities": {}, "busy_slots": 0, "seen_at": MOMENT, "queue": "sandbox_runner.cpu"}
    first.insert("agents", agent)
    first.insert("attempt_publications", {"attempt_id": "at_1", "queue": agent["queue"], "made_at": MOMENT})
    with first.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE attempts SET state = 'released'"))
    first.downgrade("0009")
    contents = first.contents()
    assert "attempt_publications" not in contents
    assert dict(contents["attempts"][0])["state"] == "cancelled"
    assert [dict(row)["id"] for row in contents["agents"]] == ["a"]
    first.upgrade("head")
    assert [dict(row)["queue"] for row in first.contents()["agents"]] == [""]


def test_what_ended_before_is_counted_once_whichever_version_counts(first):
    """`ev_0` ended and is counted, `ev_2` ended later and is not, `ev_1` runs."""
    first.upgrade("0016")
    (running,) = first.contents()["evaluations"]
    for name, ended in (("ev_0", MOMENT), ("ev_2", MOMENT + timedelta(seconds=1))):
        first.insert("evaluations", dict(running) | {"id": name, "finished_at": ended})
    mark = {"name": "tallies:evaluations", "moment": MOMENT, "row_id": "ev_0"}
    first.insert("marks", mark)
    first.upgrade("0017")
    assert first.contents()["uncounted_ends"] == [(("evaluation_id", "ev_2"),)]
    assert first.contents()["marks"] == []
    first.downgrade("0016")
    assert [dict(row)["row_id"] for row in first.contents()["marks"]] == ["ev_0"]


def test_a_lone_threshold_becomes_rules_of_novelty_and_is_alone_again_on_the_way_down(first):
    first.upgrade("0018")
    before = first.contents()
    first.upgrade("0019")
    (search,) = first.contents()["searches"]
    stored = dict(search)["request"]
    assert stored["novelty"]["threshold"] == REQUEST["novelty_threshold"]
    assert "novelty_threshold" not in stored
    first.upgrade("head")
    store = SearchStore(first.database, EvaluationStore(first.database))
    assert store.read("se_1").request.novelty == NoveltyRules(threshold=REQUEST["novelty_threshold"])
    assert {cycle["diversity"] for cycle in store.cycles("se_1")} == {None}
    assert CandidateStore(first.database).read("se_1", "se_1-c001-s001")["likeness"] is None
    first.downgrade("0018")
    assert first.contents() == before


def test_a_slot_that_waits_for_its_trace_is_screened_without_it_by_an_older_version(first):
    first.upgrade("0020")
    contents = first.contents()
    with first.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE slots SET state = 'tracing' WHERE state = 'pending'"))
    (evaluation,), (attempt,) = contents["evaluations"], contents["attempts"]
    first.insert("evaluations", dict(evaluation) | {"id": "ev_2", "kind": "trace", "graph": "{}"})
    first.insert("attempts", dict(attempt) | {"id": "at_2", "evaluation_id": "ev_2"})
    first.insert("uncounted_ends", {"evaluation_id": "ev_2"})
    first.downgrade("0019")
    after = first.contents()
    assert {dict(row)["state"] for row in after["slots"]} >= {"applied", "duplicate"}
    assert [dict(row)["id"] for row in after["evaluations"]] == ["ev_1"]
    assert [dict(row)["id"] for row in after["attempts"]] == ["at_1"]
    assert after["uncounted_ends"] == []


def test_the_newest_schema_is_what_the_tables_say(schema):
    schema.upgrade("head")
    with schema.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
