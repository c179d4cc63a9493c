"""What models said is kept with the proposal that it led to: whole, once, and within bounds."""

import math
from dataclasses import replace

import pytest
from cycle_scene import search_after_baselines, slots_of
from fakes import model_call
from search_scene import new_scene
from sqlalchemy import func, select

from contracts.chats import ChatMessage
from contracts.proposals import MAX_PARAMETER_VALUE, AnswerForm, ModelWeights, Proposal, ProposalSlot
from gateway.infra.model_calls import MAX_CALLS, MAX_MESSAGE_CHARACTERS, MAX_MESSAGES
from gateway.infra.search_store import SearchStateConflict
from gateway.infra.search_tables import PromptTextRow
from gateway.infra.slot_proposals import record_told

ASKED = ProposalSlot(0, 7, "class Net: pass\n", "digest")


def told_calls(scene, *calls):
    """The calls of a proposal with these calls, as they can be read."""
    slot = slots_of(scene)[0]
    scene.journal.record_proposal(slot, Proposal(slot.slot, "fake", "grow 1", "", calls=calls))
    return scene.candidates.read(scene.search_id, slot.proposal_id)["calls"]


@pytest.fixture
def scene(tmp_path):
    scene = search_after_baselines(tmp_path)
    scene.generator.propose = lambda _asked: iter(())
    with pytest.raises(Exception, match="unanswered"):
        scene.run().advance()
    return scene


def test_every_call_can_be_repeated_from_what_is_stored(scene):
    call = model_call("diagnosis", ASKED, "too narrow", adapter="elites-3")
    repair = model_call("repair", ASKED, "grow 1")
    first, second = told_calls(scene, call, repair)
    assert first["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": ASKED.baseline_source},
    ]
    assert first["sampling"] == {"temperature": 0.35, "seed": 7}
    for name in ("role", "model", "adapter", "prompt_version", "answer", "finish_reason", "seconds"):
        assert (first[name], second[name]) == (getattr(call, name), getattr(repair, name))
    assert (first["prompt_tokens"], first["completion_tokens"], first["cost_usd"]) == (80, 20, 0.01)


def test_what_a_local_model_answered_with_and_every_word_of_a_parameter_are_kept(scene):
    weights = ModelWeights("ab" * 32, "bfloat16", "cpu")
    grammar = {"guided_grammar": "x" * MAX_PARAMETER_VALUE}
    local, far = told_calls(
        scene,
        model_call("proposal", ASKED, "grow 1", weights=weights),
        model_call("repair", ASKED, "grow 1", sampling=grammar),
    )
    assert local["weights"] == {"sha256": "ab" * 32, "dtype": "bfloat16", "device": "cpu"}
    assert (far["weights"], far["sampling"]) == (None, grammar)


def test_tokens_that_nobody_counted_are_told_as_estimated(scene):
    forged = {"$notes": {"tokens_estimated": True}, "seed": 3}
    first, second = told_calls(
        scene,
        model_call("proposal", ASKED, "grow 1", tokens_estimated=True),
        model_call("repair", ASKED, "grow 1", sampling=forged),
    )
    assert (first["tokens_estimated"], second["tokens_estimated"]) == (True, False)
    assert (first["sampling"], second["sampling"]) == ({"temperature": 0.35, "seed": 7}, {"seed": 3})


def test_a_message_is_kept_once_however_many_slots_share_it(tmp_path):
    scene = new_scene(tmp_path, cycles=1)
    scene.generator.calls_per_proposal = 3
    scene.finish()
    parents = {slot.baseline_source for asked in scene.generator.asked for slot in asked.slots}
    with scene.database.read() as session:
        texts = session.scalar(select(func.count()).select_from(PromptTextRow))
    assert texts == 1 + len(parents)
    calls = [scene.candidates.read(scene.search_id, slot.proposal_id)["calls"] for slot in slots_of(scene)]
    assert [len(of_slot) for of_slot in calls] == [3, 3, 3, 3]
    assert all(call["messages"][0]["content"] == "be brief" for of_slot in calls for call in of_slot)


def test_hostile_calls_are_stored_within_bounds(scene):
    hostile = replace(
        model_call("proposal" * 20, ASKED, "\x00\ud800" + "a" * 300_000),
        messages=(ChatMessage("user" * 99, "m" * 400_000 + "\x00"),) * 99,
        sampling={f"{n}" * 200: math.nan for n in range(99)} | {"text": "x" * 9999},
        finish_reason="\x00" * 999,
        prompt_tokens=-1,
        completion_tokens=10**30,
        cost_usd=math.inf,
        seconds=math.nan,
    )
    calls = told_calls(scene, *[hostile] * 99)
    assert len(calls) == MAX_CALLS
    call = calls[0]
    assert len(call["messages"]) == MAX_MESSAGES
    assert len(call["messages"][0]["content"]) == MAX_MESSAGE_CHARACTERS
    assert len(call["answer"].encode()) < 2**17 + 10
    assert len(call["sampling"]) <= 32
    assert (call["prompt_tokens"], call["completion_tokens"], call["cost_usd"]) == (None, None, None)
    assert call["seconds"] == 0.0


def test_a_proposal_recorded_twice_counts_its_calls_once(scene):
    slot = slots_of(scene)[0]
    proposal = Proposal(slot.slot, "fake", "grow 1", "", calls=(model_call("proposal", ASKED, "grow 1"),))
    for _ in range(2):
        scene.journal.record_proposal(slot, proposal)
    assert scene.store.document(scene.search_id)["model"]["calls"] == 1


def test_calls_are_counted_by_cycle_and_for_the_whole_search(tmp_path):
    scene = new_scene(tmp_path)
    scene.generator.calls_per_proposal = 2
    scene.finish()
    baselines, *cycles = scene.store.cycles(scene.search_id)
    assert baselines["model"]["calls"] == 0
    for cycle in cycles:
        found = cycle["model"]
        assert (found["calls"], found["repairs"], found["tokens"]) == (8, 4, 800)
        assert (found["prompt_tokens"], found["completion_tokens"]) == (640, 160)
        assert found["cost_usd"] == pytest.approx(0.08)
        assert found["seconds"] == pytest.approx(4.0)
    document = scene.store.document(scene.search_id)
    assert (document["model"]["calls"], document["model"]["tokens"]) == (16, 1600)
    assert document["model"]["tokens_per_valid_candidate"] == 1600 / document["funnel"]["ran"]


def test_costs_that_nobody_knows_are_counted_as_unknown(scene):
    told_calls(scene, model_call("proposal", ASKED, "grow 1", cost_usd=None, prompt_tokens=None))
    found = scene.store.document(scene.search_id)["model"]
    assert (found["cost_usd"], found["calls_without_cost"], found["calls_without_tokens"]) == (None, 1, 1)


def test_the_largest_call_is_known_beside_the_sums(scene):
    small, large = model_call("proposal", ASKED, "a"), model_call("repair", ASKED, "a", prompt_tokens=980)
    told_calls(scene, small, large, model_call("repair", ASKED, "a", completion_tokens=None, cost_usd=2.5))
    spent = scene.journal.spent_before(2, 0)
    assert (spent.most_tokens, spent.highest_cost_usd, spent.calls_without_tokens) == (1000, 2.5, 1)


def test_a_whole_source_is_applied_as_one(tmp_path, monkeypatch):
    scene = search_after_baselines(tmp_path)

    def propose(asked):
        return iter(
            [
                Proposal(slot.slot, "fake", f"grow {slot.slot}", "", form=AnswerForm.SOURCE)
                for slot in asked.slots
            ]
        )

    monkeypatch.setattr(scene.generator, "propose", propose)
    scene.finish()
    assert set(scene.generator.forms.values()) == {AnswerForm.SOURCE}
    assert {document["form"] for document in scene.candidates.page(scene.search_id)[0]} == {None, "source"}


def tell(scene, place: int, answer: str):
    slot = slots_of(scene)[place]
    with scene.database.write() as session:
        return record_told(session, scene.search_id, slot.proposal_id, Proposal(place, "me", answer, ""))


def test_what_an_agent_tells_is_taken_once(scene):
    told, took = tell(scene, 2, "grow 5")
    again, took_again = tell(scene, 2, "grow 6")
    assert (took, took_again) == (True, False)
    assert told == again
    assert scene.journal.raw_proposal(told.proposal_id) == "grow 5"


def test_an_agent_that_tells_nothing_is_refused_as_a_proposer_is(scene):
    told, _ = tell(scene, 0, " ")
    assert (told.state, told.failure.code) == ("refused", "no_proposal")


def test_a_paused_search_takes_what_is_told_and_an_ended_one_does_not(scene):
    scene.store.pause(scene.search_id)
    assert tell(scene, 0, "grow 5")[1]
    scene.store.cancel(scene.search_id)
    with pytest.raises(SearchStateConflict):
        tell(scene, 1, "grow 6")
    assert not tell(scene, 0, "grow 5")[1]


def test_a_slot_of_another_search_is_not_there(scene):
    with scene.database.write() as session, pytest.raises(LookupError):
        record_told(session, "se_00", slots_of(scene)[0].proposal_id, Proposal(0, "me", "grow 1", ""))
