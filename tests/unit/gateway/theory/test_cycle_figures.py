"""The figures of one cycle: what is counted, and what is not."""

import math

import pytest
from slots import slot

from contracts.names import NoveltyLayer, SlotState
from gateway.domain.novelty import Likeness, NoveltyScope
from gateway.theory.cycle_figures import MOST_COMPARED, cycle_figures, drawn_for_comparison

NEAR = Likeness(NoveltyScope.SEARCH, NoveltyLayer.JACCARD, 0.95, "oak")


def test_copies_are_sources_but_not_new_whether_they_were_evaluated_or_not():
    slots = [
        slot(1, 0),
        slot(1, 1, likeness=NEAR),
        slot(1, 2, accuracy=None, state=SlotState.DUPLICATE, candidate_id="1/0", likeness=NEAR),
        slot(1, 3, accuracy=None),
    ]
    figures = cycle_figures(slots, [])
    assert (figures.sources, figures.new) == (4, 2)
    assert figures.unique_source_rate == 0.75


def test_what_never_became_a_source_or_was_lost_is_not_counted():
    slots = [
        slot(1, 0, accuracy=None, state=SlotState.REFUSED, candidate_id=None),
        slot(1, 1, accuracy=None, state=SlotState.LOST),
    ]
    figures = cycle_figures(slots, [])
    assert (figures.sources, figures.unique_source_rate, figures.unique_graph_rate) == (0, None, None)
    assert drawn_for_comparison(slots, 0) == []


def test_graphs_are_counted_among_the_traced_alone():
    slots = [slot(1, place) for place in range(5)]
    assert cycle_figures(slots, []).unique_graph_rate is None
    figures = cycle_figures(slots, [], ["a", "b", "a", "a"])
    assert (figures.traced, figures.unique_graph_rate, figures.unique_source_rate) == (4, 0.5, 1.0)


def test_distance_and_entropy_are_of_the_sources_that_are_compared():
    same = "a b c d e f g h"
    figures = cycle_figures([slot(1, 0), slot(1, 1)], [same, same])
    assert (figures.compared, figures.mean_distance) == (2, 0.0)
    assert figures.token_entropy == pytest.approx(math.log(8))
    other = "i j k l m n o p"
    assert cycle_figures([slot(1, 0), slot(1, 1)], [same, other]).mean_distance == 1.0
    assert cycle_figures([slot(1, 0)], [same]).mean_distance is None


def test_of_a_large_cycle_as_many_are_compared_as_may_be_and_always_the_same():
    slots = [slot(1, place) for place in range(MOST_COMPARED + 40)]
    drawn = drawn_for_comparison(slots, 7)
    assert len(drawn) == MOST_COMPARED
    assert drawn == drawn_for_comparison(slots[::-1], 7) == sorted(drawn)
    assert drawn != drawn_for_comparison(slots, 8)
