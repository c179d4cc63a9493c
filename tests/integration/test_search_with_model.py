"""A whole search with a language model behind a real generator: told, stored, budgeted, held up, resumed."""

import json
from collections import Counter

import pytest
from chat_endpoint import ChatEndpoint, shows_history
from search_family import Family

from contracts.names import SearchState, SlotState
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.model_budget import ModelBudget
from gateway.domain.novelty import NoveltyRules
from gateway.domain.search import ProposerChoice

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "sk-never-to-be-seen-anywhere"
PRICES = {"usd_per_million_prompt_tokens": 10.0, "usd_per_million_completion_tokens": 100.0}
SEARCH = {
    "cycles": 2, "candidates_per_cycle": 4, "seed": 5, "final_seeds": 2, "elites": 4,
    "novelty": NoveltyRules(threshold=1.0), "proposer": ProposerChoice("openai_compatible", {"repairs": 1}),
}  # fmt: skip


@pytest.fixture
def endpoint():
    endpoint = ChatEndpoint(KEY)
    yield endpoint
    endpoint.close()


@pytest.fixture
def family(tmp_path, endpoint):
    described = {"base_url": endpoint.base_url, "model": "parrot", "patience_seconds": 1, **PRICES}
    family = Family(
        tmp_path / "family",
        {
            "DELTANAS_LLM_ENDPOINTS": json.dumps({"default": described}),
            "DELTANAS_LLM_API_KEY_DEFAULT": KEY,
            "NO_PROXY": "127.0.0.1",
        },
    )
    yield family
    family.close()


def calls(family, search_id: str) -> list[dict]:
    candidates = family.services.candidates
    slots = candidates.page(search_id)[0]
    return [
        call
        for slot in slots
        if slot["cycle"] > 0
        for call in candidates.read(search_id, slot["proposal_id"])["calls"]
    ]


def test_every_answer_is_kept_with_its_prompt_and_paid_for_and_no_key_is(family, endpoint):
    endpoint.babbles_first = True
    search_id = family.search(**SEARCH, feedback=FeedbackMemory(3))
    document = family.finished(search_id)
    assert document["state"] == "succeeded", document["failure"]
    assert Counter(call["role"] for call in calls(family, search_id)) == {"proposal": 8, "repair": 8}
    model = document["model"]
    assert (model["calls"], model["repairs"], model["tokens"]) == (16, 8, 16 * 110)
    assert model["cost_usd"] == pytest.approx(16 * (100 * 10 + 10 * 100) / 1e6)
    assert document["funnel"]["applied"] == 8
    sent = {json.dumps(asked["messages"]) for asked in endpoint.asked}
    assert {json.dumps(call["messages"]) for call in calls(family, search_id)} == sent
    told = [shows_history(prompt) for prompt in endpoint.prompts()]
    assert any(told)
    assert not all(told)
    for file in family.home.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_a_budget_ends_a_search_cleanly(family, endpoint):
    search_id = family.search(**SEARCH, model_budget=ModelBudget(max_cost_usd=0.001))
    document = family.finished(search_id)
    assert (document["state"], document["stopped_by"]["limit"]) == ("succeeded", "max_cost_usd")
    assert document["model"]["calls"] == len(endpoint.asked) == 4
    assert document["final"] is not None


def test_an_endpoint_that_is_away_is_waited_for_and_costs_no_slot(family, endpoint):
    endpoint.status = 503
    search_id = family.search(**SEARCH)
    searches = family.services.searches
    family.wait_for(lambda: searches.document(search_id)["progress"]["platform_waits"], 60)
    assert "default" in searches.document(search_id)["progress"]["waiting_for"]
    endpoint.status = 200
    document = family.finished(search_id)
    assert document["state"] == "succeeded", document["failure"]
    assert (document["funnel"]["lost"], document["funnel"]["applied"]) == (0, 8)
    # Of the proposals: while the baselines are screened the filter may still be starting.
    proposals = [slot for slot in family.journal(search_id).slots() if not slot.is_baseline]
    assert {slot.step_errors for slot in proposals} == {0}


def test_a_key_that_is_refused_pauses_the_search_until_it_is_resumed(family, endpoint):
    endpoint.key = "another"
    search_id = family.search(**SEARCH)
    searches = family.services.searches
    family.wait_for(lambda: searches.read(search_id).state is SearchState.PAUSED, 60)
    reason = searches.document(search_id)["paused_by"]
    assert reason["code"] == "key_refused"
    assert "DELTANAS_LLM_API_KEY" in reason["remedy"]
    assert KEY not in json.dumps(reason)
    endpoint.key = KEY
    searches.resume(search_id)
    assert family.finished(search_id)["state"] == "succeeded"


def test_a_generator_that_dies_repeats_at_most_what_was_in_flight(family, endpoint):
    search_id = family.search(**SEARCH)
    family.wait_for(lambda: endpoint.asked, 60)
    family.kill("generator")
    family.start("generator")
    document = family.finished(search_id)
    assert document["state"] == "succeeded", document["failure"]
    assert document["model"]["calls"] == 8 <= len(endpoint.asked) <= 8 + 4
    assert SlotState.LOST not in {slot.state for slot in family.journal(search_id).slots()}
