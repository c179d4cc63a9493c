"""A slot whose question holds its proposer up for ever: told apart from an outage, and given up alone."""

import pytest
from cycle_scene import search_after_baselines, slots_of
from search_scene import Scene, new_scene

from contracts.names import SlotState
from contracts.proposals import ProposerBlocked
from gateway.domain.model_budget import ModelBudget
from gateway.infra.generator_client import ProposerHeldUp
from gateway.loop.cross_check import CHECK, DOUBTED_SECONDS, HELD_UP_BEFORE_DOUBT
from gateway.loop.cycle import PATIENCE

POISON = ProposerBlocked("endpoint_failed", "The endpoint answered 500.", "Look at it.", True)
LIMITED = ProposerBlocked("rate_limited", "The endpoint answered 429.", "Wait.", True)
FOR_EVER = 1000


def poisoned(blocked: ProposerBlocked = POISON) -> list[Exception]:
    return [ProposerHeldUp(blocked)] * FOR_EVER


def finish(scene: Scene, most_waits: int = 40) -> int:
    """Go on as the conductor does, with the farm at work; gives how often the proposer was waited for."""
    run, held_up, waits = scene.run(), 0, 0
    while waits < most_waits:
        try:
            if run.advance(held_up=held_up):
                return waits
            held_up = 0
        except ProposerHeldUp:
            held_up, waits = held_up + 1, waits + 1
        scene.farm.work()
    raise TimeoutError(f"the search waited {waits} times")


def lost(scene: Scene) -> list[int]:
    return [slot.slot for slot in slots_of(scene) if slot.state is SlotState.LOST]


@pytest.mark.slow
def test_a_slot_that_alone_holds_its_proposer_up_is_given_up_and_the_search_goes_on(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {2: poisoned()}
    assert finish(scene) == HELD_UP_BEFORE_DOUBT
    assert lost(scene) == [2]
    failure = slots_of(scene)[2].failure
    assert (failure.reason, failure.code) == ("infrastructure", POISON.code)
    assert POISON.message in failure.message
    document = scene.store.document(scene.search_id)
    assert document["state"] == "succeeded"
    assert (document["funnel"]["lost"], document["funnel"]["proposed"]) == (1, 3)
    assert len(scene.generator.batches) < HELD_UP_BEFORE_DOUBT + 2 * PATIENCE + 3


def patience_for(scene: Scene, *slots: int) -> list[float | None]:
    """Of the requests for these slots alone, but for those that only find out whether an answer comes."""
    asked = [one for one in scene.generator.asked if "max_tokens" not in one.options]
    return [one.patience_seconds for one in asked if [slot.slot for slot in one.slots] == list(slots)]


@pytest.mark.slow
def test_the_one_question_left_is_tried_for_a_short_time_once_another_was_answered_meanwhile(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {3: poisoned()}
    finish(scene)
    assert lost(scene) == [3]
    before = [None] * HELD_UP_BEFORE_DOUBT  # but for the first time, when it was asked with its batch
    assert patience_for(scene, 3) == before + [DOUBTED_SECONDS] * (PATIENCE - 1)
    checks = [asked for asked in scene.generator.asked if "max_tokens" in asked.options]
    assert {asked.patience_seconds for asked in checks} == {None}


@pytest.mark.slow
def test_what_was_held_up_with_a_poisoned_question_does_not_wait_until_that_is_given_up(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {2: poisoned()}
    finish(scene)
    assert lost(scene) == [2]
    last = next(one for one in reversed(scene.generator.asked) if "max_tokens" not in one.options)
    assert ([slot.slot for slot in last.slots], last.patience_seconds) == ([2], DOUBTED_SECONDS)


def test_where_several_questions_are_left_each_is_tried_as_long_as_ever(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {2: poisoned(), 3: poisoned()}
    with pytest.raises(TimeoutError):
        finish(scene, most_waits=HELD_UP_BEFORE_DOUBT)
    assert lost(scene) == []
    assert {asked.patience_seconds for asked in scene.generator.asked} == {None}


@pytest.mark.slow
def test_a_question_that_ends_the_model_of_a_whole_batch_costs_nobody_else_a_slot(tmp_path):
    scene = search_after_baselines(tmp_path)
    # It stands first: while it is in a batch, nobody in it is answered.
    scene.generator.trouble = {0: poisoned()}
    finish(scene)
    assert lost(scene) == [0]


def test_in_an_outage_no_slot_is_given_up_however_long_it_lasts(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {slot: poisoned() for slot in range(4)}
    with pytest.raises(TimeoutError):
        finish(scene)
    assert {slot.step_errors for slot in slots_of(scene)} == {0}
    assert {slot.state for slot in slots_of(scene)} == {SlotState.PENDING}


@pytest.mark.slow
def test_an_outage_that_begins_when_some_were_answered_blames_nobody(tmp_path):
    scene = search_after_baselines(tmp_path)
    honest = scene.generator.propose

    def two_answers(asked):
        for number, proposal in enumerate(honest(asked)):
            if number == 2 or len(scene.generator.batches) > 1:
                raise ProposerHeldUp(POISON)
            yield proposal

    scene.generator.propose = two_answers
    with pytest.raises(TimeoutError):
        finish(scene)
    assert {slot.step_errors for slot in slots_of(scene)} == {0}
    scene.generator.propose = honest
    finish(scene)
    assert lost(scene) == []


def test_a_limited_rate_is_waited_for_and_is_no_slots_fault(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.trouble = {3: poisoned(LIMITED)}
    with pytest.raises(TimeoutError):
        finish(scene)
    assert {slot.step_errors for slot in slots_of(scene)} == {0}


@pytest.mark.slow
def test_what_it_takes_to_find_out_is_asked_shortly_and_counts_as_spent(tmp_path):
    scene = new_scene(tmp_path, cycles=1, model_budget=ModelBudget(max_calls=1000))
    scene.generator.calls_per_proposal = 1
    scene.generator.trouble = {3: poisoned()}
    finish(scene)
    checks = [asked for asked in scene.generator.asked if "max_tokens" in asked.options]
    assert [asked.options for asked in checks] == [
        {"max_tokens": 16, "repairs": 0, "diagnose": False}
    ] * PATIENCE
    assert len({asked.slots[0].seed for asked in checks}) == PATIENCE
    calls = scene.candidates.read(scene.search_id, slots_of(scene)[3].proposal_id)["calls"]
    assert [call["role"] for call in calls] == [CHECK] * PATIENCE
    assert scene.journal.spent_before(2, 0).calls == 3 + PATIENCE


@pytest.mark.slow
def test_a_slot_that_recovers_keeps_the_calls_that_were_made_on_the_way(tmp_path):
    scene = new_scene(tmp_path, cycles=1)
    scene.generator.calls_per_proposal = 2
    scene.generator.trouble = {3: poisoned()[: HELD_UP_BEFORE_DOUBT + 2]}
    finish(scene)
    assert lost(scene) == []
    calls = scene.candidates.read(scene.search_id, slots_of(scene)[3].proposal_id)["calls"]
    assert [call["role"] for call in calls] == [CHECK] * 4 + ["proposal", "repair"]
