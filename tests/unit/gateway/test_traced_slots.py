"""Candidates are traced in any order before they are compared by what they compute, which is in theirs."""

import pytest
from cycle_scene import propose_only, slots_of
from search_scene import Scene, new_scene
from sqlalchemy import select

from contracts.failures import Failure, FailureReason
from contracts.names import AttemptKind, EvaluationState, NoveltyLayer, SearchState, SlotState
from contracts.proposals import Proposal
from gateway.domain.novelty import NoveltyRules
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.evaluation_transitions import finish
from gateway.infra.search_store import SearchStore
from gateway.infra.tables import EvaluationRow

pytestmark = pytest.mark.slow

RULES = NoveltyRules(structure=True)
OWN_FAULT = Failure(FailureReason.BUILD_ERROR, "no such layer")
PLATFORM = Failure(FailureReason.INFRASTRUCTURE, "the worker vanished")


@pytest.fixture
def scene(tmp_path) -> Scene:
    """The baselines are traced and measured."""
    scene = new_scene(tmp_path, cycles=1, novelty=RULES)
    for _ in range(2):
        assert not scene.run().advance()
        scene.farm.work()
    return scene


def propose(scene: Scene, monkeypatch, *deltas: str) -> None:
    def proposals(asked):
        return iter([Proposal(slot.slot, "fake", deltas[slot.slot], "as told") for slot in asked.slots])

    monkeypatch.setattr(scene.generator, "propose", proposals)


def states(scene: Scene) -> list[SlotState]:
    return [slot.state for slot in slots_of(scene)]


def open_evaluations(scene: Scene) -> list[EvaluationRow]:
    with scene.database.read() as session:
        query = select(EvaluationRow).where(EvaluationRow.state == EvaluationState.QUEUED)
        return list(session.scalars(query.order_by(EvaluationRow.id)))


def end_trace(scene: Scene, place: int, graph: str) -> None:
    """End the trace of one slot of cycle 1."""
    wanted = slots_of(scene)[place].trace_evaluation_id
    with scene.database.write() as session:
        row = session.get_one(EvaluationRow, wanted)
        costs = {"startup_seconds": 0, "wall_seconds": 0, "cpu_seconds": 0, "peak_memory_bytes": 0}
        row.trace, row.graph = {"not_traceable": None} | costs, graph
        finish(session, row, EvaluationState.SUCCEEDED)


def test_baselines_are_traced_before_they_are_measured(tmp_path):
    scene = new_scene(tmp_path, cycles=1, novelty=RULES)
    assert not scene.run().advance()
    assert {slot.state for slot in slots_of(scene, 0)} == {SlotState.TRACING}
    assert {row.kind for row in open_evaluations(scene)} == {AttemptKind.TRACE}
    scene.farm.work()
    assert not scene.run().advance()
    assert {slot.state for slot in slots_of(scene, 0)} == {SlotState.EVALUATING}
    assert all(slot.traced and slot.structure_key for slot in slots_of(scene, 0))
    assert set(scene.filter.graphs) == {slot.proposal_id for slot in slots_of(scene, 0)}


def test_a_search_without_structure_traces_nothing(tmp_path):
    scene = new_scene(tmp_path, cycles=1)
    scene.finish()
    with scene.database.read() as session:
        assert set(session.scalars(select(EvaluationRow.kind))) == {AttemptKind.EVALUATE}
    assert {slot.traced for slot in scene.journal.slots()} == {None}


def test_slots_are_traced_at_once_and_screened_in_their_order(scene, monkeypatch):
    propose(scene, monkeypatch, "grow 1", "grow 22", "grow 333", "grow 4444")
    assert not scene.run().advance()
    assert states(scene) == [SlotState.TRACING] * 4
    for place in (3, 2, 1):
        end_trace(scene, place, "the same")
        assert not scene.run().advance()
        assert states(scene) == [SlotState.TRACING] * 4
    end_trace(scene, 0, "the same")
    assert not scene.run().advance()
    assert states(scene) == [SlotState.EVALUATING, *[SlotState.DUPLICATE] * 3]
    first = slots_of(scene)[0].proposal_id
    for slot in slots_of(scene)[1:]:
        assert (slot.likeness.layer, slot.duplicate_of) == (NoveltyLayer.STRUCTURE, first)


def test_traces_may_end_in_any_order_without_changing_the_story(tmp_path):
    at_once, one_by_one = (
        new_scene(tmp_path, name, novelty=RULES, candidates_per_cycle=7) for name in ("at_once", "one_by_one")
    )
    at_once.finish()
    while not one_by_one.run().advance():
        one_by_one.farm.work(at_most=1)
    assert one_by_one.story() == at_once.story()
    assert any(slot.traced for slot in at_once.journal.slots())


def test_equal_texts_decide_without_a_trace(scene, monkeypatch):
    propose_only(scene, monkeypatch, "nothing new")
    assert not scene.run().advance() or scene.journal.search().state is SearchState.SUCCEEDED
    for slot in slots_of(scene):
        assert slot.state is SlotState.DUPLICATE
        assert (slot.trace_evaluation_id, slot.traced, slot.structure_key) == (None, None, None)


def test_a_text_that_a_lower_slot_was_found_to_equal_is_not_told_as_traced(scene, monkeypatch):
    propose_only(scene, monkeypatch, "grow 5")
    scene.finish()
    copies = [slot for slot in slots_of(scene) if slot.state is SlotState.DUPLICATE]
    assert copies
    assert {slot.likeness.layer for slot in copies} == {NoveltyLayer.EXACT}
    assert {slot.traced for slot in copies} == {None}


def test_a_trace_that_the_candidate_broke_leaves_it_to_the_other_layers(scene, monkeypatch):
    propose(scene, monkeypatch, "grow 1", "grow 22", "grow 333", "grow 4444")
    assert not scene.run().advance()
    farm = scene.farm
    farm.broken_traces = {slot.candidate_id: OWN_FAULT for slot in slots_of(scene)}
    farm.work()
    assert not scene.run().advance()
    assert states(scene) == [SlotState.EVALUATING] * 4
    assert {slot.traced for slot in slots_of(scene)} == {False}
    scene.finish()
    diversity = scene.store.cycles(scene.search_id)[1]["diversity"]
    assert (diversity["traced"], diversity["unique_graph_rate"]) == (0, None)


def test_a_trace_that_the_platform_lost_loses_its_slot_and_no_other(scene, monkeypatch):
    propose(scene, monkeypatch, "grow 1", "grow 22", "grow 333", "grow 4444")
    assert not scene.run().advance()
    farm = scene.farm
    farm.broken_traces = {slots_of(scene)[1].candidate_id: PLATFORM}
    farm.work()
    scene.finish()
    lost = slots_of(scene)[1]
    assert (lost.state, lost.failure.message) == (SlotState.LOST, "the worker vanished")
    assert SlotState.LOST not in [states(scene)[place] for place in (0, 2, 3)]
    assert scene.store.document(scene.search_id)["funnel"]["lost"] == 1


def test_a_filter_that_forgot_is_told_the_graphs_again(scene, monkeypatch):
    graphs = dict(scene.filter.graphs)
    scene.filter.scopes.clear()
    scene.filter.graphs.clear()
    propose(scene, monkeypatch, "grow 1", "grow 22", "grow 333", "grow 4444")
    scene.finish()
    assert graphs.items() <= scene.filter.graphs.items()


def test_unique_graphs_are_counted_among_the_traced(scene, monkeypatch):
    propose(scene, monkeypatch, "grow 1", "grow 22", "grow 333", "grow 4444")
    assert not scene.run().advance()
    for place, graph in enumerate(["a", "b", "a", "c"]):
        end_trace(scene, place, graph)
    scene.finish()
    diversity = scene.store.cycles(scene.search_id)[1]["diversity"]
    assert (diversity["traced"], diversity["unique_graph_rate"]) == (4, 0.75)
    assert diversity["new"] == 3


def test_a_cancelled_search_ends_its_traces(scene, monkeypatch):
    propose(scene, monkeypatch, "grow 1", "grow 22", "grow 333", "grow 4444")
    assert not scene.run().advance()
    SearchStore(scene.database, EvaluationStore(scene.database)).cancel(scene.search_id)
    assert open_evaluations(scene) == []


def test_a_trace_waits_for_room_in_the_tenants_queue(scene, monkeypatch):
    propose(scene, monkeypatch, "grow 1", "grow 22", "grow 333", "grow 4444")
    run, room = scene.run(), [False]
    monkeypatch.setattr(run._journal, "_has_room", lambda *_: room[0])
    assert not run.advance()
    assert states(scene) == [SlotState.APPLIED] * 4
    assert "room" in run.waits_for
    room[0] = True
    assert not run.advance()
    assert states(scene) == [SlotState.TRACING] * 4
