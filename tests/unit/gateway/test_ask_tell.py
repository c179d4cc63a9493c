"""Leases of outside agents, as rules: who holds a slot, and whose answer counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contracts.proposals import AnswerForm
from gateway.domain.ask_tell import (
    AgentAnswer,
    Lease,
    TellVerdict,
    end_of_lease,
    free_slots,
    judge_answer,
    may_keep,
    proposer_name,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=301)
ANSWER = AgentAnswer(AnswerForm.DELTA, "-a\n+b\n", "b for a")


def lease(task: str = "tk_1", slot: str = "s0", **fields) -> Lease:
    usual = Lease(task, "se_1", slot, "ann", 300.0, end_of_lease(NOW, 300.0))
    return replace(usual, **fields)


def told(task: str = "tk_1", answer: AgentAnswer = ANSWER) -> Lease:
    return lease(task, told_at=NOW, told_digest=answer.digest)


def test_a_slot_under_a_lease_is_not_given_to_somebody_else():
    assert free_slots(["s0", "s1"], [lease()], NOW) == ["s1"]


def test_a_lapsed_lease_makes_its_slot_free_at_its_last_moment():
    held = [lease()]
    assert free_slots(["s0"], held, held[0].expires_at - timedelta(microseconds=1)) == []
    assert free_slots(["s0"], held, held[0].expires_at) == ["s0"]


def test_clocks_that_differ_by_less_than_a_lease_take_nobodys_slot_away():
    assert free_slots(["s0"], [lease()], NOW - timedelta(seconds=299)) == []
    assert free_slots(["s0"], [lease()], NOW - timedelta(seconds=301)) == ["s0"]


def test_free_slots_keep_their_order():
    assert free_slots(["s2", "s0", "s1"], [lease(slot="s0")], NOW) == ["s2", "s1"]


def test_an_answer_within_its_lease_is_accepted():
    assert judge_answer(lease(), ANSWER, True, [lease()], NOW) is TellVerdict.ACCEPTED


def test_a_late_answer_is_accepted_while_nobody_else_holds_the_slot():
    assert judge_answer(lease(), ANSWER, True, [lease()], LATER) is TellVerdict.ACCEPTED
    assert lease(told_at=LATER).was_told_late
    assert not lease(told_at=NOW).was_told_late


def test_a_late_answer_is_lost_when_somebody_else_holds_the_slot():
    other = lease("tk_2", expires_at=end_of_lease(LATER, 60))
    assert judge_answer(lease(), ANSWER, True, [lease(), other], LATER) is TellVerdict.LEASE_LOST
    assert judge_answer(other, ANSWER, True, [lease(), other], LATER) is TellVerdict.ACCEPTED


def test_who_holds_another_slot_takes_nothing_away():
    other = lease("tk_2", "s1", expires_at=end_of_lease(LATER, 60))
    assert judge_answer(lease(), ANSWER, True, [lease(), other], LATER) is TellVerdict.ACCEPTED


def test_of_two_lapsed_leases_the_first_answer_counts():
    one, other = lease("tk_1"), lease("tk_2")
    assert judge_answer(one, ANSWER, True, [one, other], LATER) is TellVerdict.ACCEPTED
    assert judge_answer(other, ANSWER, False, [one, other], LATER) is TellVerdict.LEASE_LOST


def test_a_slot_that_was_answered_takes_no_other_answer():
    assert judge_answer(lease(), ANSWER, False, [lease()], NOW) is TellVerdict.LEASE_LOST


def test_the_same_answer_again_is_no_mistake_and_another_one_is():
    assert judge_answer(told(), ANSWER, False, [], NOW) is TellVerdict.REPEATED
    assert judge_answer(told(), ANSWER, False, [], LATER) is TellVerdict.REPEATED
    other = replace(ANSWER, text="-a\n+c\n")
    assert judge_answer(told(), other, False, [], NOW) is TellVerdict.ALREADY_TOLD


@pytest.mark.parametrize(
    "other",
    [
        AgentAnswer(AnswerForm.SOURCE, ANSWER.text, ANSWER.summary),
        AgentAnswer(ANSWER.form, ANSWER.text + " ", ANSWER.summary),
        AgentAnswer(ANSWER.form, ANSWER.text, ""),
        AgentAnswer(ANSWER.form, ANSWER.text + ANSWER.summary, ""),
        AgentAnswer(ANSWER.form, ANSWER.text, "\ud800"),
    ],
)
def test_answers_differ_by_form_text_and_summary(other):
    assert other.digest != ANSWER.digest


def test_a_lapsed_task_may_be_kept_until_somebody_else_holds_its_slot():
    assert may_keep(lease(), True, [lease()], LATER)
    assert not may_keep(lease(), True, [lease("tk_2", expires_at=end_of_lease(LATER, 1))], LATER)
    assert not may_keep(lease(), False, [lease()], NOW)


def test_a_slot_names_the_agent_that_answered_for_it():
    assert (proposer_name("ann"), proposer_name("")) == ("external/ann", "external")
