"""What models may spend: counted from what is stored, held before each batch, ended cleanly."""

import pytest
from search_scene import new_scene

from contracts.names import SearchState, SlotState
from gateway.domain.model_budget import BudgetStop, ModelBudget, ModelSpending, add_spending, budget_stop
from gateway.infra.service_clients import ServiceUnavailable
from gateway.loop.cycle import BATCH_SLOTS

SPENT = ModelSpending(
    calls=4, repairs=1, prompt_tokens=300, completion_tokens=100, cost_usd=0.04, seconds=2.0
)


@pytest.mark.parametrize(
    ("budget", "stop"),
    [
        (ModelBudget(), None),
        (ModelBudget(max_tokens=401, max_cost_usd=0.05, max_calls=5), None),
        (ModelBudget(max_tokens=400), BudgetStop("max_tokens", 400, 400)),
        (ModelBudget(max_cost_usd=0.03), BudgetStop("max_cost_usd", 0.04, 0.03)),
        (ModelBudget(max_calls=4, max_tokens=999), BudgetStop("max_calls", 4, 4)),
    ],
)
def test_the_first_limit_that_is_reached_stops(budget, stop):
    assert budget_stop(budget, SPENT) == stop


def test_a_limit_that_cannot_be_kept_stops_rather_than_being_broken_unseen():
    unpriced = ModelSpending(calls=8, calls_without_cost=8, calls_without_tokens=8)
    assert budget_stop(ModelBudget(max_cost_usd=1.0), unpriced) == BudgetStop("max_cost_usd", None, 1.0, 8)
    assert budget_stop(ModelBudget(max_tokens=9), unpriced) == BudgetStop("max_tokens", None, 9, 8)
    assert budget_stop(ModelBudget(max_calls=9), unpriced) is None


def test_a_call_that_does_not_say_what_it_took_counts_as_the_largest_that_does():
    spent = ModelSpending(
        calls=4, prompt_tokens=300, calls_without_tokens=2, most_tokens=200,
        cost_usd=0.25, calls_without_cost=1, highest_cost_usd=0.125,
    )  # fmt: skip
    assert budget_stop(ModelBudget(max_tokens=701, max_cost_usd=0.376), spent) is None
    assert budget_stop(ModelBudget(max_tokens=700), spent) == BudgetStop("max_tokens", 700, 700, 2)
    assert budget_stop(ModelBudget(max_cost_usd=0.375), spent) == BudgetStop("max_cost_usd", 0.375, 0.375, 1)


def test_nothing_spent_adds_nothing():
    assert add_spending([SPENT, ModelSpending()]) == SPENT
    assert add_spending([]) == ModelSpending()


def test_a_search_that_has_spent_its_budget_ends_cleanly(tmp_path):
    scene = new_scene(tmp_path, candidates_per_cycle=20, cycles=3, model_budget=ModelBudget(max_calls=10))
    scene.generator.calls_per_proposal = 1
    scene.finish()
    document = scene.store.document(scene.search_id)
    assert document["state"] == SearchState.SUCCEEDED
    assert document["stopped_by"] == {
        "limit": "max_calls", "spent": 16, "allowed": 10, "unknown_calls": 0,
    }  # fmt: skip
    assert document["model"]["calls"] == 16 <= 10 + BATCH_SLOTS
    assert document["final"] is not None
    slots = scene.journal.slots(1)
    assert [slot.state for slot in slots[16:]] == [SlotState.SKIPPED] * 4
    assert all(slot.state.is_final for slot in slots)
    assert (document["funnel"]["proposed"], document["funnel"]["skipped"]) == (16, 4)
    assert document["funnel"]["lost"] == 0
    assert scene.journal.slots(2) == []
    assert document["progress"]["slots_done"] == document["progress"]["slots_total"] == 2 + 20


def test_a_budget_that_ends_with_a_cycle_opens_no_further_one(tmp_path):
    scene = new_scene(tmp_path, cycles=3, model_budget=ModelBudget(max_tokens=400))
    scene.generator.calls_per_proposal = 1
    scene.finish()
    document = scene.store.document(scene.search_id)
    assert (document["state"], document["funnel"]["skipped"]) == (SearchState.SUCCEEDED, 0)
    assert document["stopped_by"]["limit"] == "max_tokens"
    assert [cycle["cycle"] for cycle in scene.store.cycles(scene.search_id)] == [0, 1]


def test_a_budget_spent_by_the_last_batch_has_stopped_nothing(tmp_path):
    scene = new_scene(tmp_path, cycles=1, model_budget=ModelBudget(max_calls=4))
    scene.generator.calls_per_proposal = 1
    scene.finish()
    assert scene.store.document(scene.search_id)["stopped_by"] is None


def test_a_proposer_without_models_never_reaches_a_budget(tmp_path):
    scene = new_scene(tmp_path, model_budget=ModelBudget(max_calls=1, max_tokens=1, max_cost_usd=0.01))
    scene.finish()
    document = scene.store.document(scene.search_id)
    assert (document["stopped_by"], document["model"]["calls"]) == (None, 0)
    assert document["model"]["cost_usd"] is None


def test_slots_that_failed_before_are_skipped_at_a_second_stop_and_the_first_reason_stays(tmp_path):
    scene = new_scene(tmp_path, candidates_per_cycle=16, cycles=1)
    assert not scene.run().advance()
    scene.farm.work()
    scene.generator.trouble = {8: [ServiceUnavailable("generator", "down")]}
    with pytest.raises(ServiceUnavailable):
        scene.run().advance()
    first, second = BudgetStop("max_calls", 12, 12), BudgetStop("max_calls", 11, 12)
    scene.journal.stop_proposing(first, 1, 12)
    assert [slot.state for slot in scene.journal.slots(1)[12:]] == [SlotState.SKIPPED] * 4
    scene.journal.stop_proposing(second, 1, 8)
    scene.journal.stop_proposing(second, 1, 8)
    assert [slot.state for slot in scene.journal.slots(1)[8:]] == [SlotState.SKIPPED] * 8
    assert scene.store.document(scene.search_id)["stopped_by"]["spent"] == 12
