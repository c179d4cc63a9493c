"""The loop on a real journal between fakes: what becomes of each slot, and who is to blame."""

import pytest
from cycle_scene import DOWN, propose_only, search_after_baselines, slots_of
from fakes import baseline
from search_scene import Scene, accept, new_database, new_scene, request

from contracts.failures import Failure, FailureReason
from contracts.names import EvaluationState, SearchState, SlotState
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.service_clients import ServiceUnavailable
from gateway.infra.slot_journal import SearchNotRunning

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(tmp_path) -> Scene:
    return new_scene(tmp_path, cycles=1)


@pytest.fixture
def after_baselines(tmp_path) -> Scene:
    return search_after_baselines(tmp_path)


def test_the_baselines_are_measured_before_anything_is_proposed(scene):
    assert not scene.run().advance()
    assert [slot.state for slot in slots_of(scene, 0)] == [SlotState.EVALUATING] * 2
    assert scene.generator.batches == []


def test_the_baselines_hyperparameters_reach_its_own_and_its_childrens_evaluations(scene):
    scene.finish()
    evaluations = EvaluationStore(scene.database)
    of_elm = [
        slot for slot in scene.journal.slots() if slot.root_id.endswith("c000-s001") and slot.evaluation_id
    ]
    assert len(of_elm) > 1
    for slot in of_elm:
        assert evaluations.read(slot.evaluation_id).request.hyperparameters == {"lr": 0.01}


def test_slots_are_asked_for_in_batches_of_eight(tmp_path):
    scene = new_scene(tmp_path, cycles=1, candidates_per_cycle=19)
    scene.finish()
    assert scene.generator.batches == [list(range(8)), list(range(8, 16)), [16, 17, 18]]


def test_proposals_may_arrive_in_any_order_without_changing_the_story(tmp_path):
    forwards = new_scene(tmp_path, "forwards", candidates_per_cycle=7)
    backwards = new_scene(tmp_path, "backwards", candidates_per_cycle=7)
    backwards.generator.backwards = True
    forwards.finish()
    backwards.finish()
    assert backwards.story() == forwards.story()


def test_evaluations_may_end_in_any_order_without_changing_the_story(tmp_path):
    at_once, one_by_one = new_scene(tmp_path, "at_once"), new_scene(tmp_path, "one_by_one")
    at_once.finish()
    while not one_by_one.run().advance():
        one_by_one.farm.work(at_most=1)
    assert one_by_one.story() == at_once.story()


def test_another_seed_tells_another_story(tmp_path):
    one, other = new_scene(tmp_path, "one", seed=1), new_scene(tmp_path, "other", seed=2)
    one.finish()
    other.finish()
    assert one.story()["slots"] != other.story()["slots"]


def test_a_search_in_which_no_candidate_ran_succeeds_without_finals(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "unplaceable")
    after_baselines.finish()
    document = after_baselines.store.document(after_baselines.search_id)
    assert (document["state"], document["final"]) == ("succeeded", None)


def test_a_duplicate_names_what_it_copies_and_is_not_evaluated(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "nothing new")
    after_baselines.finish()
    for slot in slots_of(after_baselines):
        assert slot.state is SlotState.DUPLICATE
        assert slot.duplicate_of == slot.parent_id
        assert slot.evaluation_id is None


def test_equal_candidates_of_one_cycle_are_novel_once_and_the_lowest_slot_wins(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 5")
    parents = {slot.slot: slot.parent_id for slot in _opened(after_baselines)}
    after_baselines.finish()
    for slot in slots_of(after_baselines):
        first = min(place for place, parent in parents.items() if parent == slot.parent_id)
        assert (slot.state is not SlotState.DUPLICATE) == (slot.slot == first)


def _opened(scene: Scene):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene.generator, "propose", _unavailable)
        with pytest.raises(ServiceUnavailable):
            scene.run().advance()
    return slots_of(scene)


def _unavailable(*_):
    raise DOWN


def test_a_filter_that_forgot_is_reminded_before_it_screens(after_baselines, monkeypatch):
    after_baselines.filter.scopes.clear()
    propose_only(after_baselines, monkeypatch, "nothing new")
    after_baselines.finish()
    assert {slot.state for slot in slots_of(after_baselines)} == {SlotState.DUPLICATE}


def test_a_filter_with_another_past_is_rebuilt_from_the_journal(after_baselines):
    (scope,) = after_baselines.filter.scopes
    after_baselines.filter.scopes[scope] |= {f"stranger {number}": "" for number in range(5)}
    after_baselines.finish()
    known = set(after_baselines.filter.scopes[scope])
    assert known == {slot.proposal_id for slot in after_baselines.journal.admitted()}


def test_a_search_fails_clearly_when_no_baseline_can_be_measured(scene):
    assert not scene.run().advance()
    farm = scene.farm
    for slot in slots_of(scene, 0):
        farm.ended_by_source[slot.candidate_id] = (
            EvaluationState.FAILED,
            Failure(FailureReason.TIMEOUT, f"{slot.name} took too long"),
        )
    farm.work()
    assert scene.run().advance()
    document = scene.store.document(scene.search_id)
    assert document["state"] == "failed"
    assert "oak: timeout, oak took too long" in document["failure"]
    assert "elm: timeout" in document["failure"]


def test_baselines_that_only_guess_are_still_parents_but_nobody_is_elite(tmp_path):
    database = new_database(tmp_path)
    # With two classes, chance × 1.2 is 0.6; with one, no accuracy is plausible at all.
    scene = Scene(database, accept(database, request(cycles=1), classes=1))
    scene.finish()
    document = scene.store.document(scene.search_id)
    assert (document["state"], document["best"], document["final"]) == ("succeeded", None, None)
    assert {slot.parent_name for slot in slots_of(scene)} == {"oak", "elm"}


def test_a_paused_search_takes_no_step_and_goes_on_where_it_stood(after_baselines):
    after_baselines.store.pause(after_baselines.search_id)
    before = after_baselines.story()
    with pytest.raises(SearchNotRunning):
        after_baselines.run().advance()
    assert after_baselines.story() == before
    after_baselines.store.resume(after_baselines.search_id)
    after_baselines.finish()
    assert after_baselines.journal.search().state is SearchState.SUCCEEDED


def test_a_pause_in_mid_stream_keeps_what_has_arrived(after_baselines, monkeypatch):
    honest = after_baselines.generator.propose

    def propose(asked):
        for number, proposal in enumerate(honest(asked)):
            if number == 2:
                after_baselines.store.pause(after_baselines.search_id)
            yield proposal

    with monkeypatch.context() as patch:
        patch.setattr(after_baselines.generator, "propose", propose)
        with pytest.raises(SearchNotRunning):
            after_baselines.run().advance()
    assert [slot.state for slot in slots_of(after_baselines)][2:] == [SlotState.PENDING] * 2


def test_one_baseline_is_enough(tmp_path):
    database = new_database(tmp_path)
    lone = (baseline("lone"),)
    wanted = request(baselines=("lone",), candidates_per_cycle=1, cycles=2)
    scene = Scene(database, accept(database, wanted, lone))
    scene.finish()
    assert scene.journal.search().state is SearchState.SUCCEEDED
