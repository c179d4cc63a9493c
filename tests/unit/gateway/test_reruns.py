"""Who is run again and what selection makes of it, on slots by hand."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from slots import slot

from contracts.names import SlotState
from gateway.domain.rerun import AuditPlan, ReplicatePlan, Rerun, RerunPurpose
from gateway.domain.reruns import (
    as_of,
    audit_seed,
    choose_contenders,
    draw_audits,
    estimate_all,
    replicate_seeds,
)
from gateway.domain.search import final_training_seeds, training_seed
from gateway.domain.selection import select_elites

NOISE = 0.03


def run_again(one, *accuracies: float | None, purpose=RerunPurpose.REPLICATE, cycle: int | None = None):
    """The slot with further runs; None is a run that failed."""
    runs = tuple(
        Rerun(
            purpose, one.cycle if cycle is None else cycle, place, 100 + place, 1,
            SlotState.FAILED if accuracy is None else SlotState.JUDGED, accuracy,
        )
        for place, accuracy in enumerate(accuracies)
    )  # fmt: skip
    return replace(one, reruns=one.reruns + runs)


def population(size: int = 40, seed: int = 2):
    """One run each, and the truths behind them, by proposal id."""
    draws = random.Random(seed)
    slots, truths = [], {}
    for place in range(size):
        truth = draws.gauss(0.7, 0.04)
        one = slot(1, place, truth + draws.gauss(0, NOISE))
        slots.append(one)
        truths[one.proposal_id] = truth
    return slots, truths


def in_rounds(slots, truths, plan: ReplicatePlan, elites: int, seed: int = 3):
    """What the loop does: ask, run, ask again, until nobody is left; gives the slots and who was asked."""
    draws = random.Random(seed)
    asked = []
    while chosen := choose_contenders(slots, 1, elites, plan):
        asked.append(chosen)
        by_id = {one.proposal_id: one for one in slots}
        for one, place in chosen:
            accuracy = truths[one.proposal_id] + draws.gauss(0, NOISE)
            run = Rerun(RerunPurpose.REPLICATE, 1, place, 100 + place, 1, SlotState.JUDGED, accuracy)
            known = by_id[one.proposal_id]
            by_id[one.proposal_id] = replace(known, reruns=(*known.reruns, run))
        slots = list(by_id.values())
    return slots, asked


@given(st.integers(0, 2**31))
def test_no_run_of_a_search_shares_its_seed_with_a_run_of_another_kind(seed):
    kinds = [
        {training_seed(seed)},
        set(replicate_seeds(seed, 10)),
        {audit_seed(seed)},
        set(final_training_seeds(seed, 20)),
    ]
    assert len(set().union(*kinds)) == 1 + 10 + 1 + 20
    assert replicate_seeds(seed, 2) == replicate_seeds(seed, 10)[:2]


def test_where_nobody_was_trained_again_selection_goes_by_what_was_measured():
    slots, _ = population()
    assert as_of(slots, 1) == slots
    assert estimate_all(slots, 1) == {}


def test_a_steady_candidate_passes_one_whose_first_score_was_luck():
    slots, truths = population()
    lucky, steady = slot(1, 90, 0.80), slot(1, 91, 0.79)
    others, _ = in_rounds(slots, truths, ReplicatePlan(2, 12), 4)
    known = [*others, run_again(lucky, 0.66, 0.67), run_again(steady, 0.785, 0.79)]
    assert select_elites([*slots, lucky, steady], 1)[0].proposal_id == lucky.proposal_id
    ranked = [one.proposal_id for one in select_elites(as_of(known, 1), 50)]
    assert ranked.index(steady.proposal_id) < ranked.index(lucky.proposal_id)
    assert {one.score.accuracy for one in as_of(known, 1)} == {one.score.accuracy for one in known}


def test_what_is_audited_says_nothing_to_selection():
    slots, truths = population()
    known, _ = in_rounds(slots, truths, ReplicatePlan(2, 12), 4)
    audited = [run_again(one, 0.0, purpose=RerunPurpose.AUDIT) for one in known]
    assert estimate_all(audited, 1) == estimate_all(known, 1)
    alone = [run_again(one, 0.99, purpose=RerunPurpose.AUDIT) for one in slots]
    assert [one.score for one in as_of(alone, 1)] == [one.score for one in slots]


def test_a_candidate_that_fails_when_it_is_trained_again_does_not_keep_its_lucky_score():
    slots, truths = population()
    known, _ = in_rounds(slots, truths, ReplicatePlan(2, 12), 4)
    refuses = slot(1, 90, 0.95)
    before = estimate_all(known, 1)
    after = estimate_all([*known, run_again(refuses, None, None)], 1)
    assert after.pop(refuses.proposal_id).value < 0.5
    assert after == before  # and nobody else's estimate moves


def test_what_the_platform_lost_says_nothing_and_is_not_asked_for_again():
    one = run_again(slot(1, 0, 0.9), 0.9)
    lost = replace(one, reruns=(replace(one.reruns[0], state=SlotState.LOST, accuracy=None),))
    assert estimate_all([lost, slot(1, 1, 0.8)], 1) == {}
    assert choose_contenders([lost], 1, 1, ReplicatePlan(1, 8)) == []


def test_a_cycle_is_selected_as_it_was_known_when_it_closed():
    early = run_again(run_again(slot(1, 0, 0.9), 0.5, cycle=1), 0.9, cycle=2)
    slots = [early, slot(1, 1, 0.8), slot(1, 2, 0.6), slot(2, 0, 0.7)]
    assert estimate_all(as_of(slots, 1), 1)[early.proposal_id].value == 0.7  # too few for variances: its mean
    assert {one.cycle for one in as_of(slots, 1)} == {1}


def test_would_be_elites_come_first_then_near_misses_and_the_budget_ends_it():
    slots, truths = population()
    ranked = [one.proposal_id for one in select_elites(slots, 40)]
    _, rounds = in_rounds(slots, truths, ReplicatePlan(2, 30), 4)
    assert [(one.proposal_id, place) for one, place in rounds[0]] == [
        (name, place) for name in ranked[:4] for place in (0, 1)
    ]
    asked = [(one.proposal_id, place) for chosen in rounds for one, place in chosen]
    assert len(asked) == len(set(asked)) <= 30
    assert len(choose_contenders(slots, 1, 4, ReplicatePlan(2, 5))) == 5


def test_every_elite_has_its_further_runs_where_the_budget_suffices():
    slots, truths = population()
    known, _ = in_rounds(slots, truths, ReplicatePlan(2, 400), 6)
    assert all(len(one.reruns) == 2 for one in select_elites(as_of(known, 1), 6))
    assert choose_contenders(known, 1, 6, ReplicatePlan(2, 400)) == []


def test_who_is_out_of_reach_of_the_last_elite_is_not_run_again():
    slots, truths = population()
    hopeless = slot(1, 90, 0.3)
    known, _ = in_rounds([*slots, hopeless], {**truths, hopeless.proposal_id: 0.3}, ReplicatePlan(2, 400), 6)
    assert next(one for one in known if one.proposal_id == hopeless.proposal_id).reruns == ()


def test_a_lucky_maximum_is_replaced_by_somebody_who_is_truly_better():
    single, again = [], []
    for seed in range(30):
        slots, truths = population(seed=seed)
        known, _ = in_rounds(slots, truths, ReplicatePlan(2, 24), 6, seed)
        single.append(truths[select_elites(slots, 1)[0].proposal_id])
        again.append(truths[select_elites(as_of(known, 1), 1)[0].proposal_id])
    assert sum(again) / 30 > sum(single) / 30 + 0.005


def test_an_audit_is_drawn_without_regard_to_scores():
    slots, _ = population(12)
    unscored = slot(1, 80, None)
    other_cycle = slot(2, 0, 0.9)
    drawn = draw_audits([*slots, unscored, other_cycle], 1, 7, AuditPlan(5))
    turned = [replace(one, score=replace(one.score, accuracy=1 - one.score.accuracy)) for one in slots]
    assert [one.slot for one in draw_audits(turned, 1, 7, AuditPlan(5))] == [one.slot for one in drawn]
    assert len(drawn) == 5
    assert {one.cycle for one in drawn} == {1}
    assert unscored not in drawn
    assert len(draw_audits(slots, 1, 7, AuditPlan(200))) == 12
