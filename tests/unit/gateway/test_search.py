from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from slots import slot

from contracts.names import SlotState
from gateway.domain.search import (
    count_funnel,
    final_training_seeds,
    proposal_id,
    public_split_key,
    slot_seed,
    training_seed,
)

states = st.sampled_from(SlotState)


def tally(slots):
    return Counter((one.state, one.elite) for one in slots)


def test_slot_seeds_never_change_between_versions():
    assert slot_seed(0, 1, 0) == 1322601685811892267
    assert training_seed(0) == 1561235089


def test_every_place_of_a_search_has_its_own_seed():
    places = [(seed, cycle, place) for seed in range(3) for cycle in range(23) for place in range(50)]
    seeds = {slot_seed(*where) for where in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_concatenation_cannot_confuse_two_places():
    assert slot_seed(1, 11, 1) != slot_seed(11, 1, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 20))
def test_final_seeds_are_distinct_fresh_and_extend_each_other(seed, count):
    seeds = final_training_seeds(seed, count)
    assert len(set(seeds)) == count
    assert training_seed(seed) not in seeds
    assert all(0 <= value < 2**31 for value in seeds)
    assert final_training_seeds(seed, count + 1)[:count] == seeds


def test_proposal_ids_sort_by_place():
    ids = [proposal_id("se_1", cycle, place) for cycle in (0, 2, 10, 100) for place in (0, 9, 10, 199)]
    assert ids == sorted(ids)


def test_equal_searches_halve_the_data_alike_and_others_do_not():
    assert public_split_key("mnist", 1) == public_split_key("mnist", 1)
    assert public_split_key("mnist", 1) != public_split_key("mnist", 2)
    assert public_split_key("mnist", 1) != public_split_key("svhn", 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(states, st.booleans())))
def test_each_stage_of_the_funnel_is_part_of_the_one_before(described):
    slots = [slot(1, place, state=state, elite=elite) for place, (state, elite) in enumerate(described)]
    funnel = count_funnel(tally(slots))
    assert len(slots) - funnel.lost >= funnel.proposed
    assert funnel.proposed >= funnel.applied >= funnel.novel >= funnel.ran >= funnel.elite >= 0


@settings(max_examples=30, deadline=None)
@given(st.lists(states), st.integers(1, 9))
def test_slots_lost_by_the_platform_change_no_other_count(described, lost):
    slots = [
        slot(1, place, state=state) for place, state in enumerate(described) if state is not SlotState.LOST
    ]
    fallen = [slot(1, 100 + place, state=SlotState.LOST) for place in range(lost)]
    with_them, without = count_funnel(tally(slots + fallen)), count_funnel(tally(slots))
    assert with_them.lost == lost
    assert without.lost == 0
    assert (with_them.proposed, with_them.applied, with_them.novel, with_them.ran) == (
        without.proposed,
        without.applied,
        without.novel,
        without.ran,
    )


def test_each_state_counts_as_far_as_its_slot_has_come():
    expected = {
        SlotState.PENDING: (0, 0, 0, 0),
        SlotState.PROPOSED: (1, 0, 0, 0),
        SlotState.REFUSED: (1, 0, 0, 0),
        SlotState.APPLIED: (1, 1, 0, 0),
        SlotState.TRACING: (1, 1, 0, 0),
        SlotState.DUPLICATE: (1, 1, 0, 0),
        SlotState.NOVEL: (1, 1, 1, 0),
        SlotState.EVALUATING: (1, 1, 1, 0),
        SlotState.FAILED: (1, 1, 1, 0),
        SlotState.JUDGED: (1, 1, 1, 1),
        SlotState.LOST: (0, 0, 0, 0),
        SlotState.SKIPPED: (0, 0, 0, 0),
    }
    assert set(expected) == set(SlotState)
    for state, counts in expected.items():
        funnel = count_funnel(tally([slot(1, 0, state=state)]))
        assert (funnel.proposed, funnel.applied, funnel.novel, funnel.ran) == counts, state
