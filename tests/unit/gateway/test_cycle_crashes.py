"""Power is cut at every write of a search, again and again: its story stays the same."""

from collections import Counter

import pytest
from fakes import CrashingDatabase, PowerCut, baseline
from search_scene import Scene, hurried, new_scene
from sqlalchemy import select

from contracts.names import SlotState
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.model_budget import ModelBudget
from gateway.domain.novelty import CopyPolicy, NoveltyRules, NoveltyScope
from gateway.infra.events import EventRow
from gateway.infra.search_store import search_topic
from gateway.infra.tables import EvaluationRow

BUDGET = {
    "candidates_per_cycle": 10,
    "feedback": FeedbackMemory(3),
    "model_budget": ModelBudget(max_calls=30),
}
"""A cycle is a batch of eight and one of two slots, of two calls each: it ends before the last two."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Scene:
    scene = new_scene(tmp_path_factory.mktemp("undisturbed"))
    scene.finish()
    return scene


def scene_with_many_scopes(folder) -> Scene:
    """Copies from every scope are penalised; a corpus of some networks is to be filled."""
    rules = NoveltyRules(tuple(NoveltyScope), CopyPolicy.PENALISE, threshold=0.8)
    scene = new_scene(folder, novelty=rules)
    scene.shipped += tuple(baseline(f"tree-{number}") for number in range(120))
    scene.filter.sees_likeness = True
    return scene


def scene_with_traces(folder) -> Scene:
    return new_scene(folder, novelty=NoveltyRules(policy=CopyPolicy.FLAG, structure=True))


def scene_with_budget(folder) -> Scene:
    scene = new_scene(folder, **BUDGET)
    scene.generator.calls_per_proposal = 2
    return scene


def slow_cut(at_write: int, after_commit: bool, *marks):
    return pytest.param(at_write, after_commit, marks=[pytest.mark.slow, *marks])


def live_through_power_cuts(scene: Scene, at_write: int, after_commit: bool) -> int:
    """Each life of the conductor ends at its `at_write`-th write; gives the number of lives."""
    url = scene.database.engine.url.render_as_string()
    lives = 0
    while True:
        lives += 1
        assert lives < 500, "no life gets any further"
        database = hurried(CrashingDatabase(url, at_write, after_commit))
        try:
            # The services live on: they remember what a cut-off life has told them.
            life = Scene(database, scene.search_id, scene.generator, scene.filter, scene.shipped)
            if life.run().advance():
                return lives
        except PowerCut:
            if scene.journal.search().state.is_terminal:
                return lives
        finally:
            database.close()
        scene.farm.work(at_most=1)


# Of the first writes of a life, up to two may find that an earlier life has done their work.
@pytest.mark.parametrize(
    ("at_write", "after_commit"),
    [
        (2, True),
        slow_cut(3, True),
        slow_cut(4, False),
        *(slow_cut(*one, pytest.mark.full) for one in [(3, False), (5, True), (5, False), (7, False)]),
    ],
)
def test_a_search_that_loses_power_at_every_write_tells_the_same_story(
    undisturbed, tmp_path, at_write, after_commit
):
    scene = new_scene(tmp_path)
    lives = live_through_power_cuts(scene, at_write, after_commit)
    assert lives > 3
    assert scene.story() == undisturbed.story()
    assert count_evaluations(scene) == count_evaluations(undisturbed)
    assert set(times_ended(scene).values()) == {1}
    assert times_ended(scene).total() == times_ended(undisturbed).total()


@pytest.mark.parametrize(
    ("at_write", "after_commit"),
    [(7, True), *(slow_cut(3, after, pytest.mark.full) for after in (False, True))],
)
def test_a_search_that_loses_power_finds_the_same_copies_in_every_scope(tmp_path, at_write, after_commit):
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    calm.mkdir(), cut.mkdir()
    undisturbed, scene = scene_with_many_scopes(calm), scene_with_many_scopes(cut)
    undisturbed.finish()
    assert live_through_power_cuts(scene, at_write, after_commit) > 3
    assert scene.story() == undisturbed.story()
    assert any(likeness for *_, likeness in scene.story()["slots"])
    assert count_evaluations(scene) == count_evaluations(undisturbed)


@pytest.mark.parametrize(
    ("at_write", "after_commit"),
    [(5, True), *(slow_cut(3, after, pytest.mark.full) for after in (False, True))],
)
def test_a_search_that_loses_power_traces_every_candidate_once(tmp_path, at_write, after_commit):
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    calm.mkdir(), cut.mkdir()
    undisturbed, scene = scene_with_traces(calm), scene_with_traces(cut)
    undisturbed.finish()
    assert live_through_power_cuts(scene, at_write, after_commit) > 3
    assert scene.story() == undisturbed.story()
    with scene.database.read() as session:
        keys = session.scalars(select(EvaluationRow.origin_key)).all()
    assert len(keys) == len(set(keys))
    assert any(key.endswith("-trace") for key in keys)


@pytest.mark.parametrize(
    ("at_write", "after_commit"),
    [(9, True), *(slow_cut(3, after, pytest.mark.full) for after in (False, True))],
)
def test_a_search_that_loses_power_stops_at_the_same_budget_and_counts_no_call_twice(
    tmp_path, at_write, after_commit
):
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    calm.mkdir(), cut.mkdir()
    undisturbed = scene_with_budget(calm)
    undisturbed.finish()
    scene = scene_with_budget(cut)
    lives = live_through_power_cuts(scene, at_write, after_commit)
    assert lives > 3
    assert scene.story() == undisturbed.story()
    assert scene.story()["stopped_by"] == {
        "limit": "max_calls", "spent": 36, "allowed": 30, "unknown_calls": 0,
    }  # fmt: skip
    assert scene.story()["funnel"]["skipped"] == 2
    assert histories(scene) == histories(undisturbed)


def histories(scene: Scene) -> set[tuple]:
    return {(asked.cycle, slot.slot, slot.history) for asked in scene.generator.asked for slot in asked.slots}


def count_evaluations(scene: Scene) -> int:
    with scene.database.read() as session:
        return len(session.scalars(select(EvaluationRow.id)).all())


def times_ended(scene: Scene) -> Counter[str]:
    """How often the log says of each slot that it ended."""
    with scene.database.read() as session:
        events = session.scalars(
            select(EventRow).where(EventRow.topic == search_topic(scene.search_id), EventRow.type == "slot")
        )
        return Counter(
            event.data["proposal_id"] for event in events if SlotState(event.data["state"]).is_final
        )
