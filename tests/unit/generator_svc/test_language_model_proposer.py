"""What comes of a model's answers: each is tried at once, refused ones are repaired, all calls are kept."""

import json
from dataclasses import replace

import pytest
from fakes import FakeChatModel, held_up
from mutation_sources import BLOCKS

from contracts.proposals import (
    AnswerForm,
    DeploymentLimits,
    EditPermissions,
    PastTry,
    ProposalRequest,
    ProposalSlot,
)
from generator_svc.answers import AnswerRules, apply_answer
from generator_svc.deltas import canonical_delta
from generator_svc.held_up import HeldUp
from generator_svc.language_models.port import MAX_ANSWER_BYTES, ChatRequest, Sampling
from generator_svc.prompts import delta_prompt
from generator_svc.prompts.fences import without_turn_marks
from generator_svc.proposers.language_model import LanguageModelProposer
from generator_svc.proposers.language_model.kept_answers import OVERHEAD, KeptAnswers
from generator_svc.proposers.port import OptionsInvalid

WIDER = BLOCKS.replace("(8, 16)", "(12, 16)")
WIDEST = BLOCKS.replace("(8, 16)", "(14, 16)")
GOOD = f"```diff\n{canonical_delta(BLOCKS, WIDER)}```"
BETTER = f"```diff\n{canonical_delta(BLOCKS, WIDEST)}```"
PROSE = "I would make it wider."


def proposer(model):
    return LanguageModelProposer("local_llm", lambda _options, _adapter: model)


def request(count=1, history=(), edits=EditPermissions(), deployment=DeploymentLimits(), **options):
    slots = tuple(ProposalSlot(n, 100 + n, BLOCKS, "b", 0.5, history) for n in range(count))
    return ProposalRequest(
        "se_1", 1, "local_llm", "cifar-10", slots, options, edits=edits, deployment=deployment
    )


def proposals_of(model, *arguments, **fields):
    return list(proposer(model).propose(request(*arguments, **fields)))


def only_proposal(model, **fields):
    (proposal,) = proposals_of(model, **fields)
    return proposal


def roles(proposal):
    return [call.role for call in proposal.calls]


def test_an_answer_that_applies_is_a_proposal_with_its_call():
    model = FakeChatModel(GOOD)
    proposal = only_proposal(model)
    assert (proposal.slot, proposal.proposer, proposal.answer, proposal.failure) == (0, "local_llm", GOOD, "")
    assert (proposal.form, proposal.summary) == (AnswerForm.DELTA, "+1 −1 lines: __init__")
    (call,) = proposal.calls
    assert (call.role, call.prompt_version, call.answer) == ("proposal", "delta_v3", GOOD)
    assert call.messages == delta_prompt(BLOCKS, "cifar-10", 0.5)
    assert (call.model, call.finish_reason) == ("fake/model", "stop")
    assert (call.cost_usd, call.prompt_tokens, call.completion_tokens, call.seconds) == (0.001, 10, 5, 0.5)
    assert call.sampling["seed"] == model.requests[0].seed


def test_all_slots_are_asked_for_in_one_call_and_answered_in_any_order():
    model = FakeChatModel(GOOD, BETTER, GOOD, backwards=True)
    assert [(p.slot, p.answer) for p in proposals_of(model, 3)] == [(2, GOOD), (1, BETTER), (0, GOOD)]
    assert [len(requests) for requests, _ in model.asked] == [3]


def test_every_call_has_a_seed_of_its_own_that_a_replay_repeats():
    def seeds():
        model = FakeChatModel(PROSE, PROSE, GOOD, GOOD)
        proposals_of(model, 2)
        return [asked.seed for asked in model.requests]

    assert seeds() == seeds()
    assert len(set(seeds())) == 4
    assert all(0 <= seed < 2**31 for seed in seeds())


def test_refused_answers_are_repaired_together_while_the_others_are_given_out():
    model = FakeChatModel(PROSE, GOOD, PROSE, BETTER, GOOD)
    given = proposer(model).propose(request(3))
    assert next(given).slot == 1
    assert len(model.asked) == 1
    first, second = given
    assert [(p.slot, p.answer, roles(p)) for p in (first, second)] == [
        (0, BETTER, ["proposal", "repair"]),
        (2, GOOD, ["proposal", "repair"]),
    ]
    assert [len(requests) for requests, _ in model.asked] == [3, 2]
    repair = first.calls[1]
    assert repair.prompt_version == "repair_v3"
    assert [message.role for message in repair.messages] == ["system", "user", "assistant", "user"]
    assert repair.messages[:2] == first.calls[0].messages
    assert repair.messages[2].content == PROSE
    assert "no_diff_found" in repair.messages[3].content


@pytest.mark.parametrize(("repairs", "calls"), [(0, 1), (1, 2), (3, 4)])
def test_repairs_end_and_the_last_answer_stays_as_it_came(repairs, calls):
    proposal = only_proposal(FakeChatModel(*(f"{PROSE} {n}" for n in range(9))), repairs=repairs)
    assert len(proposal.calls) == calls
    assert proposal.answer == f"{PROSE} {calls - 1}"
    assert (proposal.failure, proposal.summary) == ("", "not applied: no_diff_found")
    assert [call.messages[2].content for call in proposal.calls[1:]] == [
        f"{PROSE} {n}" for n in range(repairs)
    ]


def test_a_diagnosis_comes_first_and_becomes_a_part_of_the_prompt():
    model = FakeChatModel("Too narrow.\n```\nObey!\n```", "Too shallow.", PROSE, GOOD, BETTER)
    proposals = {p.slot: p for p in proposals_of(model, 2, diagnose=True, max_tokens=2000)}
    assert [len(requests) for requests, _ in model.asked] == [2, 2, 1]
    assert [sampling.max_tokens for _, sampling in model.asked] == [256, 2000, 2000]
    assert roles(proposals[0]) == ["diagnosis", "proposal", "repair"]
    diagnosis, asked, repaired = proposals[0].calls
    assert (diagnosis.prompt_version, diagnosis.answer) == ("diagnosis_v2", "Too narrow.\n```\nObey!\n```")
    assert "Too narrow." in asked.messages[1].content
    assert "Too shallow." in proposals[1].calls[1].messages[1].content
    assert repaired.messages[:2] == asked.messages
    assert proposals[0].answer == BETTER


def test_no_proposal_has_more_than_five_calls():
    proposal = only_proposal(FakeChatModel(*[PROSE] * 9), diagnose=True, repairs=3)
    assert roles(proposal) == ["diagnosis", "proposal", "repair", "repair", "repair"]


def test_a_diagnosis_without_words_is_left_out():
    proposal = only_proposal(FakeChatModel(" \n", GOOD), diagnose=True)
    assert proposal.calls[1].messages == delta_prompt(BLOCKS, "cifar-10", 0.5)


def test_whole_sources_are_asked_for_and_taken():
    model = FakeChatModel(GOOD, f"```python\n{WIDER}```")
    proposal = only_proposal(model, form="source")
    assert (proposal.form, proposal.summary) == (AnswerForm.SOURCE, "+1 −1 lines: __init__")
    assert "no_source_found" in proposal.calls[1].messages[3].content
    assert proposal.calls[0].prompt_version == "source_v2"
    assert model.asked[0][1].max_tokens == 4096


def test_history_edits_and_limits_are_told_and_hold_when_an_answer_is_tried():
    edits, limits = EditPermissions(never=("__init__",)), DeploymentLimits(forbidden_operators=("Dropout",))
    proposal = only_proposal(
        FakeChatModel(GOOD, GOOD), history=(PastTry("", "+x", "worse"),), edits=edits, deployment=limits
    )
    told = proposal.calls[0].messages[1].content
    assert all(part in told for part in ("Outcome: worse", "Never change: `__init__`", "`Dropout`"))
    assert "forbidden_region" in proposal.calls[1].messages[3].content
    limited = only_proposal(FakeChatModel(GOOD, GOOD), deployment=DeploymentLimits(max_parameters=10))
    assert "too_many_parameters" in limited.calls[1].messages[3].content


def test_marks_of_turns_in_a_baseline_end_no_turn_and_do_not_hinder_a_change():
    marked = BLOCKS.replace("(8, 16)", "(8, 16)  # <|im_end|>").replace("super()", "super()  # </s>", 1)
    seen = without_turn_marks(marked)
    answer = f"```diff\n{canonical_delta(seen, seen.replace('(8, 16)', '(12, 16)'))}```"
    asked = request()
    asked = replace(asked, slots=(replace(asked.slots[0], baseline_source=marked),))
    (proposal,) = proposer(FakeChatModel(answer)).propose(asked)
    said = proposal.calls[0].messages[1].content
    assert seen in said
    assert "<|im_end|>" not in said
    assert proposal.summary == "+1 −1 lines: __init__"
    assert "</s>" in apply_answer(marked, answer, AnswerRules()).source


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("stop", "answered with nothing"),
        ("timeout", "in time"),
        ("prompt_too_long", "context"),
        ("content_filter", "held the answer back"),
    ],
)
def test_an_answer_without_words_is_a_failure_that_says_why(reason, words):
    proposal = only_proposal(FakeChatModel(" \n\t", finish_reason=reason))
    assert (proposal.answer, proposal.summary) == ("", "")
    assert words in proposal.failure
    assert roles(proposal) == ["proposal"]


def test_a_repair_without_words_leaves_the_answer_that_was_refused():
    proposal = only_proposal(FakeChatModel(PROSE, ""))
    assert (proposal.answer, proposal.failure, roles(proposal)) == (PROSE, "", ["proposal", "repair"])


def test_an_answer_cut_short_is_tried_as_it_is():
    cut = GOOD.partition("(12")[0]
    proposal = only_proposal(FakeChatModel(cut, cut, finish_reason="too_long"))
    assert (proposal.answer, proposal.summary) == (cut, "not applied: truncated")
    assert only_proposal(FakeChatModel(GOOD, finish_reason="timeout")).summary == "+1 −1 lines: __init__"


def test_what_a_model_says_is_bounded_and_fit_to_be_stored():
    hostile = "\x00\ud800<|im_end|>\n" + "é" * MAX_ANSWER_BYTES
    proposal = only_proposal(FakeChatModel(hostile, hostile))
    assert len(proposal.answer.encode()) <= MAX_ANSWER_BYTES
    assert "\x00" not in proposal.answer
    assert len(proposal.calls[1].messages[2].content) < 20_000
    assert all("<|" not in message.content for message in proposal.calls[1].messages)
    assert all(character.isprintable() for character in proposal.summary)


def test_a_summary_quotes_no_word_of_a_model_unescaped():
    named = BLOCKS.replace("class Net", "class Bösé" + "x" * 90 + ":\n    pass\n\n\nclass Net")
    summary = only_proposal(FakeChatModel(f"```python\n{named}```"), form="source").summary
    assert "B\\xf6s\\xe9" in summary
    assert len(summary) < 80


def test_what_holds_a_model_up_comes_after_what_is_final():
    model = FakeChatModel(GOOD, PROSE, held_up())
    given = proposer(model).propose(request(3))
    assert next(given).slot == 0
    with pytest.raises(HeldUp) as raised:
        next(given)
    assert raised.value.blocked.code == "endpoint_unreachable"
    in_repair = proposer(FakeChatModel(PROSE, GOOD, held_up())).propose(request(2))
    assert next(in_repair).slot == 1
    with pytest.raises(HeldUp):
        next(in_repair)


@pytest.mark.parametrize("diagnose", [False, True])
def test_what_was_said_before_a_hold_up_is_not_asked_and_paid_for_again(diagnose):
    before = ["Too narrow.", "Too shallow."] if diagnose else []
    model = FakeChatModel(*before, PROSE, GOOD, held_up(), BETTER)
    asking = proposer(model)
    given = asking.propose(request(2, diagnose=diagnose))
    assert next(given).slot == 1
    with pytest.raises(HeldUp):
        next(given)
    first = request(2, diagnose=diagnose)
    (again,) = asking.propose(replace(first, slots=first.slots[:1]))
    assert (again.answer, [call.answer for call in again.calls]) == (BETTER, [*before[:1], PROSE, BETTER])
    assert [message.content for message in model.requests[-1].messages][2] == PROSE
    assert len(model.requests) == len(before) + 4


def test_another_search_and_other_options_are_given_answers_of_their_own():
    model = FakeChatModel(GOOD, BETTER, GOOD, BETTER, GOOD)
    asking, first = proposer(model), request()
    others = [replace(first, search_id="se_2"), replace(first, cycle=2), replace(first, adapter="a")]
    for one in (first, *others, request(temperature=0.9)):
        list(asking.propose(one))
    assert len(model.requests) == 5


def test_the_oldest_answers_give_way_to_new_ones():
    def answer(text):
        (said,) = FakeChatModel(text).answers([ChatRequest(0, (), 0)], Sampling())
        return said

    kept = KeptAnswers(max_characters=3 * (1000 + OVERHEAD))
    for number in range(5):
        kept.keep(str(number), answer("x" * 1000))
    assert [number for number in range(5) if kept.find(str(number))] == [2, 3, 4]
    kept.keep("large", answer("x" * 2000))
    kept.keep("large", answer("y"))
    assert [name for name in ("3", "4", "large") if kept.find(name)] == ["4", "large"]
    assert kept.find("large").text == "x" * 2000


def test_slots_that_a_model_forgets_are_held_up_and_what_nobody_asked_is_ignored():
    class Forgetful(FakeChatModel):
        def answers(self, requests, sampling):
            for answer in super().answers(requests[:1], sampling):
                yield replace(answer, key=77)
                yield answer
                yield answer

    given = proposer(Forgetful(GOOD)).propose(request(2))
    assert next(given).slot == 0
    with pytest.raises(HeldUp) as raised:
        next(given)
    assert (raised.value.blocked.code, raised.value.blocked.retryable) == ("model_failed", True)
    assert "1 of 2" in raised.value.blocked.message


def test_whoever_stops_listening_stops_the_model():
    model = FakeChatModel(GOOD, GOOD)
    given = proposer(model).propose(request(2))
    next(given)
    assert model.closed == 0
    given.close()
    assert model.closed == 1


def test_no_slots_ask_nothing():
    model = FakeChatModel()
    assert proposals_of(model, 0) == []
    assert model.asked == []


def test_the_model_is_chosen_by_options_and_adapter_and_looked_at_when_options_are_checked():
    model, chosen = FakeChatModel(), []

    def choose(options, adapter):
        chosen.append((options.model, options.endpoint, adapter))
        return model

    asking = LanguageModelProposer("openai_compatible", choose, has_endpoints=True)
    asking.check_options({"model": "m", "endpoint": "e"})
    list(asking.propose(replace(request(0, model="m"), adapter="a")))
    assert chosen == [("m", "e", None), ("m", None, "a")]
    model.unready = held_up("key_missing", retryable=False)
    with pytest.raises(HeldUp):
        asking.check_options({})
    assert list(asking.propose(request(0))) == []


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"temprature": 1}, "options.temprature", "Known options: model, form"),
        ({"base_url": "http://evil"}, "options.base_url", "Known options"),
        ({"endpoint": "x"}, "options.endpoint", "Known options"),
        ({"form": "prose"}, "options.form", "delta, source"),
        ({"form": ["delta"]}, "options.form", "delta, source"),
        ({"temperature": 2.1}, "options.temperature", "0 to 2"),
        ({"temperature": True}, "options.temperature", "number"),
        ({"temperature": float("nan")}, "options.temperature", "number"),
        ({"top_p": 0}, "options.top_p", "above 0"),
        ({"top_k": 0}, "options.top_k", "1 to 1000"),
        ({"max_tokens": 8}, "options.max_tokens", "16 to 32768"),
        ({"max_tokens": 100.0}, "options.max_tokens", "whole"),
        ({"repairs": 4}, "options.repairs", "0 to 3"),
        ({"diagnose": 1}, "options.diagnose", "true or false"),
        ({"model": ""}, "options.model", "1 to 200"),
        ({"model": "a\nb"}, "options.model", "1 to 200"),
        ({"x" * 500: 1}, "options." + "x" * 60, "Known options"),
    ],
)
def test_options_that_mean_nothing_are_refused_by_name_with_what_would_be_right(options, field, words):
    with pytest.raises(OptionsInvalid) as raised:
        proposer(FakeChatModel()).check_options(options)
    assert raised.value.field == field
    assert words in f"{raised.value.message} {raised.value.remedy}"


def test_usual_options_are_those_of_the_paper_and_given_ones_reach_the_model():
    model = FakeChatModel(GOOD, GOOD)
    only_proposal(model)
    only_proposal(model, temperature=0, top_p=0.5, top_k=None, max_tokens=64)
    usual, given = (sampling for _, sampling in model.asked)
    assert (usual.temperature, usual.top_p, usual.top_k, usual.max_tokens) == (0.35, 0.9, 50, 1024)
    assert (given.temperature, given.top_p, given.top_k, given.max_tokens) == (0.0, 0.5, None, 64)
    assert json.dumps(usual.temperature) == "0.35"
