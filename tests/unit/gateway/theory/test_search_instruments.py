"""What each instrument is given of a recorded search, and what it must not be given."""

from dataclasses import replace

import pytest
from slots import slot

from contracts.names import SlotState
from contracts.proposals import AnswerForm
from gateway.theory.cross_entropy import LossChange
from gateway.theory.reading import Fit
from gateway.theory.search_instruments import (
    RecordedAnswer,
    RecordedSearch,
    closed_cycles,
    read_filter_pairs,
    read_search,
)
from gateway.theory.variance_components import Replication

BASELINES = (slot(0, 0, 0.5), slot(0, 1, 0.6))


def judged(cycle, place, accuracy, audit=None, **fields):
    made = slot(cycle, place, accuracy, **fields)
    return replace(made, score=replace(made.score, audit_accuracy=audit))


def readings(**fields):
    search = RecordedSearch(**{"slots": BASELINES, "has_ended": True, **fields})
    return {reading.instrument: reading for reading in read_search(search)}


def two_cycles(audits=(0.5, 0.5)):
    return BASELINES + tuple(
        judged(cycle, place, accuracy, audits[cycle - 1] + 0.001 * place)
        for cycle in (1, 2)
        for place, accuracy in enumerate([0.4, 0.5, 0.55, 0.6, 0.7, 0.65])
    )


def test_of_an_empty_search_nothing_can_be_told_by_any_instrument():
    found = readings()
    assert {reading.fit for reading in found.values()} == {Fit.UNTOLD}
    assert len(found) == 8
    assert all(reading.verdict and reading.cannot_tell for reading in found.values())


def test_gamma_is_the_best_baseline_and_what_failed_counts_as_no_elite():
    failed = slot(2, 6, None)
    lost = slot(2, 7, None, state=SlotState.LOST)
    found = readings(slots=(*two_cycles(), failed, lost))
    figures = found["elite_bound"].figures
    assert figures["gamma"] == 0.6
    assert figures["rho_0"] == pytest.approx(3 / 6)
    assert figures["cycles"][0]["mass"] == pytest.approx(3 / 7)


def test_an_implausible_baseline_is_no_measure_of_elites():
    found = readings(slots=(*two_cycles()[1:], slot(0, 2, 0.99, plausible=False)))
    assert found["elite_bound"].figures["gamma"] == 0.6


def test_a_cycle_that_is_still_open_is_in_no_figure():
    waiting = slot(2, 9, None, state=SlotState.EVALUATING)
    assert list(closed_cycles((*two_cycles(), waiting))) == [1]
    assert readings(slots=(*two_cycles(), waiting))["elite_bound"].fit is Fit.UNTOLD


def test_quality_is_read_on_the_sealed_half_and_not_on_selection_scores():
    rising = [judged(c, p, 0.1 * c, audit=0.9 - 0.3 * c + 0.001 * p) for c in (1, 2) for p in range(8)]
    found = readings(slots=(*BASELINES, *rising))["monotone_quality"]
    assert found.fit is Fit.FAILS  # although selection scores rose
    assert found.observed.value == pytest.approx(0.3)


def test_the_sealed_half_is_not_looked_at_while_a_search_goes_on():
    found = readings(slots=two_cycles(), has_ended=False)
    assert found["monotone_quality"].fit is Fit.UNTOLD
    assert readings(slots=two_cycles())["monotone_quality"].fit is Fit.UNDECIDED


def test_a_mean_that_would_give_single_sealed_scores_away_is_not_shown():
    few = [judged(c, p, 0.5, audit=0.5 + 0.01 * p) for c in (1, 2) for p in range(4)]
    assert readings(slots=(*BASELINES, *few))["monotone_quality"].fit is Fit.UNTOLD


def test_copies_count_against_diversity_and_refused_answers_do_not():
    of_one = [
        judged(1, 0, 0.5),
        slot(1, 1, None, state=SlotState.DUPLICATE),
        slot(1, 2, None, state=SlotState.REFUSED),
        slot(1, 3, None),
    ]
    found = readings(slots=(*BASELINES, *of_one), sources={1: ["a b c", "a b c"]})["diversity"]
    (cycle,) = found.figures["cycles"]
    assert (cycle["sources"], cycle["unique"], cycle["mean_distance"]) == (3, 2, 0)


def arm(form, cycle, tokens, valid_of_20):
    slots = [
        slot(
            cycle,
            place,
            0.5 if place < valid_of_20 else None,
            form=form,
            proposal_id=f"{form}-{cycle}-{place}",
        )
        for place in range(20)
    ]
    return slots, [RecordedAnswer(one.proposal_id, tokens, is_last=True) for one in slots]


def test_deltas_of_odd_cycles_predict_whole_sources_of_even_ones():
    deltas, short = arm(AnswerForm.DELTA, 1, 50, 16)
    wholes, long = arm(AnswerForm.SOURCE, 2, 2000, 15)
    found = readings(slots=(*BASELINES, *deltas, *wholes), answers=(*short, *long))["valid_rate"]
    assert found.fit is Fit.FAILS
    assert found.predicted.value == pytest.approx(0.8**40, rel=1e-3)
    assert found.observed.value == pytest.approx(0.75)


def test_an_answer_that_was_asked_for_again_is_invalid_and_a_copy_is_neither():
    deltas, answers = arm(AnswerForm.DELTA, 1, 50, 20)
    deltas[0] = replace(deltas[0], state=SlotState.DUPLICATE, score=None)
    wholes, long = arm(AnswerForm.SOURCE, 2, 50, 10)
    again = [RecordedAnswer(one.proposal_id, 50, is_last=False) for one in deltas[1:20]]
    found = readings(slots=(*BASELINES, *deltas, *wholes), answers=(*answers, *again, *long))["valid_rate"]
    assert found.predicted.value == pytest.approx(0.5)  # 19 of 38; the copy is left out
    assert found.fit is Fit.UNDECIDED


def test_fine_tunes_and_runs_reach_their_instruments():
    runs = (*((0.1 * place,) for place in range(8)), (0.9, 0.91), (0.5, 0.49))
    found = readings(loss_changes=(LossChange(1, 1.0, 0.9),), runs=runs, replication=Replication.CONTENDERS)
    assert found["cross_entropy"].observed.value == pytest.approx(0.1)
    assert found["proxy_reliability"].fit is Fit.HOLDS
    assert "Of 10 architectures 2 were trained more than once" in found["proxy_reliability"].verdict


def arm_of_copies(seed, copies, cycles=6):
    """A search that repeats its first candidate so often in each late cycle."""
    slots = []
    for cycle in range(1, cycles + 1):
        for place in range(8):
            is_copy = cycle > 3 and place < copies
            slots.append(
                judged(
                    cycle, place, 0.5, candidate_id=f"{seed}/1/0" if is_copy else f"{seed}/{cycle}/{place}"
                )
            )
    return RecordedSearch(slots=(*BASELINES, *slots), has_ended=True)


def test_the_filter_is_judged_by_a_ruler_that_both_arms_share():
    pairs = [(arm_of_copies(seed, seed % 2), arm_of_copies(seed, 4 + seed % 3)) for seed in range(5)]
    distinct, distance = read_filter_pairs(pairs)
    assert distinct.fit is Fit.HOLDS
    assert distinct.observed.value == pytest.approx((4 + 5 + 6 + 4 + 5 - 2) / 5 / 8)
    assert distance.fit is Fit.UNTOLD  # no sources were given
    assert read_filter_pairs([(free, kept) for kept, free in pairs])[0].fit is Fit.FAILS
