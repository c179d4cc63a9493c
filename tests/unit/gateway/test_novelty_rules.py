"""What follows for a copy: pure rules of the gateway, whatever the filter is."""

from dataclasses import replace

import pytest
from slots import slot

from contracts.names import NoveltyLayer, SlotState
from gateway.domain.finals import choose_winner
from gateway.domain.novelty import (
    CopyPolicy,
    Likeness,
    NoveltyRules,
    NoveltyScope,
    ends_slot,
    priced,
    telling,
)
from gateway.domain.selection import select_elites


def like(
    scope: NoveltyScope = NoveltyScope.SEARCH, layer: NoveltyLayer = NoveltyLayer.JACCARD, **fields
) -> Likeness:
    return Likeness(scope, layer, 0.95, "oak", **fields)


def test_the_sharpest_layer_says_most_and_then_the_narrowest_scope():
    near_parent = like(NoveltyScope.PARENT)
    near_here = like(NoveltyScope.SEARCH)
    same_graph = like(NoveltyScope.TENANT, NoveltyLayer.STRUCTURE)
    same_source = like(NoveltyScope.CORPUS, NoveltyLayer.EXACT)
    assert telling([near_here, near_parent]) == near_parent
    assert telling([near_parent, same_graph]) == same_graph
    assert telling([same_graph, near_here, same_source]) == same_source
    assert telling([]) is None


@pytest.mark.parametrize("layer", NoveltyLayer)
@pytest.mark.parametrize("scope", NoveltyScope)
def test_every_copy_ends_its_slot_where_copies_are_rejected(scope, layer):
    assert ends_slot(NoveltyRules(), like(scope, layer))


@pytest.mark.parametrize("policy", [CopyPolicy.FLAG, CopyPolicy.PENALISE])
def test_elsewhere_only_the_program_that_the_search_has_measured_itself_ends_its_slot(policy):
    rules = NoveltyRules(policy=policy)
    ended = {
        (scope, layer)
        for scope in NoveltyScope
        for layer in NoveltyLayer
        if ends_slot(rules, like(scope, layer))
    }
    assert ended == {
        (NoveltyScope.PARENT, NoveltyLayer.EXACT),
        (NoveltyScope.SEARCH, NoveltyLayer.EXACT),
    }


def test_a_penalty_is_taken_where_copies_are_penalised_alone():
    penalised = priced(NoveltyRules(policy=CopyPolicy.PENALISE, penalty=0.2), like())
    assert penalised == replace(like(), penalty=0.2)
    assert priced(NoveltyRules(policy=CopyPolicy.FLAG, penalty=0.2), like()) == like()


def test_a_penalised_copy_keeps_its_accuracy_and_stands_lower_in_selection():
    copy = slot(1, 0, accuracy=0.80, likeness=like(penalty=0.1))
    flagged = slot(1, 1, accuracy=0.79, likeness=like())
    plain = slot(1, 2, accuracy=0.75)
    worse = slot(1, 3, accuracy=0.71)
    assert copy.score.accuracy == 0.80
    assert copy.selection_score == pytest.approx(0.72)
    assert flagged.selection_score == 0.79
    population = [copy, flagged, plain, worse]
    assert [one.slot for one in select_elites(population, 4)] == [1, 2, 0, 3]
    assert [one.slot for one in select_elites(population, 2)] == [1, 2]


def test_a_penalised_copy_wins_only_where_it_still_ranks_first():
    copy = slot(1, 0, accuracy=0.80, likeness=like(penalty=0.05))
    assert choose_winner([copy, slot(1, 1, accuracy=0.77)]).slot == 1
    assert choose_winner([copy, slot(1, 1, accuracy=0.75)]).slot == 0


def test_a_candidate_without_a_score_has_none_for_selection_either():
    assert slot(1, 0, accuracy=None, likeness=like(), state=SlotState.DUPLICATE).selection_score is None
