"""Selection replayed: nothing changed changes nothing, and what is unknown is said to be unknown."""

from hypothesis import given, settings
from hypothesis import strategies as st
from slots import slot

from contracts.names import SlotState
from gateway.domain.selection import select_elites
from gateway.theory.what_if import Likeness, Rules, replay_selection

POPULATIONS = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=20
).map(
    lambda rows: [
        slot(cycle, place, accuracy, candidate_id=f"k{place}") for place, (cycle, accuracy) in enumerate(rows)
    ]
)


@settings(max_examples=40, deadline=None)
@given(POPULATIONS, st.integers(1, 6))
def test_the_rules_as_they_were_give_the_elites_as_they_were(slots, elites):
    replay = replay_selection(slots, Rules(), elites)
    assert replay.diverges_after is None
    for cycle in replay.cycles:
        so_far = [one for one in slots if one.cycle <= cycle.cycle]
        expected = tuple(one.proposal_id for one in select_elites(so_far, elites))
        assert cycle.recorded == cycle.replayed == expected


@settings(max_examples=40, deadline=None)
@given(POPULATIONS, st.integers(1, 6), st.integers(1, 6))
def test_fewer_elites_are_the_first_of_more(slots, fewer, more):
    fewer, more = sorted((fewer, more))
    for cycle in replay_selection(slots, Rules(elites=fewer), more).cycles:
        assert cycle.replayed == cycle.recorded[:fewer]


def test_the_mean_of_more_runs_may_dethrone_a_lucky_winner():
    slots = [slot(0, 0, 0.5), slot(1, 0, 0.9), slot(1, 1, 0.8)]
    runs = {"1/0": (0.9, 0.5), "1/1": (0.8, 0.82)}
    replay = replay_selection(slots, Rules(seeds=2), 1, runs)
    last = replay.cycles[-1]
    assert last.recorded == (slots[1].proposal_id,)
    assert last.replayed == (slots[2].proposal_id,)
    assert replay.diverges_after == 1
    assert last.too_few_runs == 1  # the baseline has one run alone


def test_runs_are_taken_in_the_order_of_their_seeds():
    slots = [slot(1, 0, 0.9), slot(1, 1, 0.8)]
    runs = {"1/0": (0.9, 0.0, 0.0), "1/1": (0.8, 0.8, 0.8)}
    assert not replay_selection(slots, Rules(seeds=1), 1, runs).cycles[0].differs
    assert replay_selection(slots, Rules(seeds=2), 1, runs).cycles[0].differs


def compared(slots, *near, copies=()):
    """The slots' likeness, near pairs by the slots' numbers."""
    names = [one.proposal_id for one in slots]
    pairs = tuple((names[first], names[second], jaccard) for first, second, jaccard in near)
    return Likeness(frozenset(names), frozenset(names[place] for place in copies), pairs)


def test_a_lower_threshold_turns_near_copies_away():
    slots = [slot(0, 0, 0.5), slot(1, 0, 0.9), slot(1, 1, 0.8)]
    likeness = compared(slots, (0, 1, 0.85))
    strict = replay_selection(slots, Rules(novelty_threshold=0.8), 2, likeness=likeness).cycles[-1]
    assert strict.copies == (slots[1].proposal_id,)
    assert strict.replayed == (slots[2].proposal_id, slots[0].proposal_id)
    loose = replay_selection(slots, Rules(novelty_threshold=0.9), 2, likeness=likeness).cycles[-1]
    assert (loose.copies, loose.differs) == ((), False)


def test_a_copy_that_would_have_been_let_through_has_no_score():
    slots = [slot(0, 0, 0.5), slot(1, 0, None, state=SlotState.DUPLICATE)]
    likeness = compared(slots, (0, 1, 0.93))
    loose = replay_selection(slots, Rules(novelty_threshold=0.95), 2, likeness=likeness).cycles[-1]
    assert loose.unscored == (slots[1].proposal_id,)
    assert loose.replayed == (slots[0].proposal_id,)
    again = replay_selection(slots, Rules(novelty_threshold=0.9), 2, likeness=likeness).cycles[-1]
    assert (again.copies, again.unscored) == ((), ())  # a copy then as now


def test_a_slot_is_compared_with_those_alone_that_were_let_in_before_it():
    slots = [slot(0, 0, 0.5), slot(1, 0, 0.9), slot(1, 1, 0.8)]
    chain = compared(slots, (0, 1, 0.9), (1, 2, 0.9))  # 2 is near 1 alone, which is turned away
    replay = replay_selection(slots, Rules(novelty_threshold=0.8), 2, likeness=chain)
    assert replay.cycles[-1].copies == (slots[1].proposal_id,)


def test_the_same_program_is_a_copy_at_every_threshold_and_a_baseline_never_is():
    slots = [slot(0, 0, 0.5), slot(0, 1, 0.6), slot(1, 0, 0.9)]
    replay = replay_selection(slots, Rules(novelty_threshold=1.0), 2, likeness=compared(slots, copies=(1, 2)))
    assert replay.cycles[0].copies == ()
    assert replay.cycles[1].copies == (slots[2].proposal_id,)


def test_a_cycle_with_something_open_is_not_replayed():
    slots = [slot(0, 0, 0.5), slot(1, 0, 0.9), slot(1, 1, None, state=SlotState.EVALUATING)]
    assert [cycle.cycle for cycle in replay_selection(slots, Rules(), 1).cycles] == [0]
