"""Structures: one for one computation in whichever order it is told, another for any other computation."""

import random
from itertools import permutations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contracts.computation_graph import (
    ComputationGraph,
    GraphMalformed,
    Node,
    Operation,
    TensorType,
    Value,
    graph_text,
)
from filter_svc import structure
from filter_svc.structure import TooSymmetric, structure_key

without_hurry = settings(max_examples=40, deadline=None)

FLOATS = TensorType("float32", (2, 8))
INPUT = Operation("input", (), (FLOATS,))
WEIGHT = Operation("parameter", (), (FLOATS,))
ADD = Operation("aten.add.Tensor", (("alpha", "1.0"),), (FLOATS,))
SUB = Operation("aten.sub.Tensor", (("alpha", "1.0"),), (FLOATS,))
RELU = Operation("aten.relu", (), (FLOATS,))
SPLIT = Operation("aten.split.Tensor", (("split_size", "4"),), (FLOATS, FLOATS))


def graph(*rows: tuple, outputs: tuple = ((-1, 0),)) -> ComputationGraph:
    """Nodes as (operation, input, …), an input being a node's number or (number, output)."""
    nodes = tuple(
        Node(operation, tuple(Value(*one) if isinstance(one, tuple) else Value(one, 0) for one in inputs))
        for operation, *inputs in rows
    )
    return ComputationGraph(nodes, tuple(Value(node % len(nodes), output) for node, output in outputs))


def key(one: ComputationGraph) -> bytes:
    return structure_key(graph_text(one))


def reordered(one: ComputationGraph, seed: int) -> ComputationGraph:
    """The same graph, its nodes in another order in which they can be computed, sums the other way round."""
    chance = random.Random(seed)
    places: dict[int, int] = {}
    while len(places) < len(one.nodes):
        ready = [
            place
            for place, node in enumerate(one.nodes)
            if place not in places and all(value.node in places for value in node.inputs)
        ]
        places[chance.choice(ready)] = len(places)
    nodes = []
    for place in places:
        inputs = [Value(places[value.node], value.output) for value in one.nodes[place].inputs]
        if one.nodes[place].operation == ADD and chance.random() < 0.5:
            inputs.reverse()
        nodes.append(Node(one.nodes[place].operation, tuple(inputs)))
    return ComputationGraph(
        tuple(nodes), tuple(Value(places[value.node], value.output) for value in one.outputs)
    )


@st.composite
def graphs(draw, most: int = 14) -> ComputationGraph:
    """Small graphs with many like parts."""
    nodes = [Node(INPUT), Node(WEIGHT), Node(WEIGHT)]
    for _ in range(draw(st.integers(1, most))):
        operation = draw(st.sampled_from([ADD, SUB, RELU, SPLIT, WEIGHT]))
        count = {ADD: 2, SUB: 2, RELU: 1, SPLIT: 1, WEIGHT: 0}[operation]
        inputs = []
        for _ in range(count):
            node = draw(st.integers(0, len(nodes) - 1))
            inputs.append(Value(node, draw(st.integers(0, len(nodes[node].operation.outputs) - 1))))
        nodes.append(Node(operation, tuple(inputs)))
    return ComputationGraph(tuple(nodes), (Value(len(nodes) - 1, 0),))


def isomorphic(one: ComputationGraph, other: ComputationGraph) -> bool:
    """By trying every way in which nodes may answer to each other."""

    def facts(of: ComputationGraph, place: dict[int, int]) -> tuple:
        rows = []
        for number, node in enumerate(of.nodes):
            inputs = [(place[value.node], value.output) for value in node.inputs]
            if node.operation == ADD:
                inputs.sort()
            rows.append((place[number], repr(node.operation), tuple(inputs)))
        return tuple(sorted(rows)), tuple((place[value.node], value.output) for value in of.outputs)

    if len(one.nodes) != len(other.nodes):
        return False
    straight = {place: place for place in range(len(one.nodes))}
    wanted = facts(one, straight)
    return any(
        facts(other, dict(enumerate(order))) == wanted for order in permutations(range(len(other.nodes)))
    )


@without_hurry
@given(graphs(), st.integers())
def test_reordering_never_changes_a_structure(one, seed):
    assert key(reordered(one, seed)) == key(one)


@without_hurry
@given(graphs(most=3), graphs(most=3))
def test_structures_are_equal_exactly_when_the_graphs_are_isomorphic(one, other):
    one, other = structure._needed(one), structure._needed(other)
    assert (key(one) == key(other)) == isomorphic(one, other)


@without_hurry
@given(graphs(), st.data())
def test_another_attribute_shape_or_operator_is_another_structure(one, data):
    needed = structure._needed(one)
    place = data.draw(st.integers(0, len(needed.nodes) - 1))
    operation, inputs = needed.nodes[place].operation, needed.nodes[place].inputs
    wider = tuple(TensorType(kind, (*shape, 2)) for kind, shape in operation.outputs)
    others = [
        Operation("aten.tanh", operation.attributes, operation.outputs),
        Operation(operation.name, (*operation.attributes, ("p", "0.5")), operation.outputs),
        Operation(operation.name, operation.attributes, wider),
    ]
    other = others[data.draw(st.integers(0, 2))]
    nodes = (*needed.nodes[:place], Node(other, inputs), *needed.nodes[place + 1 :])
    assert key(ComputationGraph(nodes, needed.outputs)) != key(needed)


@without_hurry
@given(graphs(), st.data())
def test_another_edge_is_another_structure(one, data):
    """An argument is taken from a weight that nobody took before."""
    lonely = Node(Operation("parameter", (("own", "yes"),), (FLOATS,)))
    needed = structure._needed(one)
    taking = [place for place, node in enumerate(needed.nodes) if node.inputs]
    assume(taking)
    place = data.draw(st.sampled_from(taking))
    inputs = needed.nodes[place].inputs
    argument = data.draw(st.integers(0, len(inputs) - 1))
    moved = [
        Node(node.operation, tuple(Value(value.node + 1, value.output) for value in node.inputs))
        for node in needed.nodes
    ]
    changed = list(moved[place].inputs)
    changed[argument] = Value(0, 0)
    moved[place] = Node(moved[place].operation, tuple(changed))
    outputs = tuple(Value(value.node + 1, value.output) for value in needed.outputs)
    assert key(ComputationGraph((lonely, *moved), outputs)) != key(needed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # The order of arguments counts where it counts.
        (graph((INPUT,), (WEIGHT,), (SUB, 0, 1)), graph((INPUT,), (WEIGHT,), (SUB, 1, 0))),
        # A weight used twice is not two weights.
        (
            graph((INPUT,), (WEIGHT,), (SUB, 0, 1), (SUB, 2, 1)),
            graph((INPUT,), (WEIGHT,), (WEIGHT,), (SUB, 0, 1), (SUB, 3, 2)),
        ),
        # One or the other output of a node.
        (graph((INPUT,), (SPLIT, 0), (RELU, (1, 0))), graph((INPUT,), (SPLIT, 0), (RELU, (1, 1)))),
        # What is returned, and in which order.
        (
            graph((INPUT,), (RELU, 0), outputs=((0, 0), (1, 0))),
            graph((INPUT,), (RELU, 0), outputs=((1, 0), (0, 0))),
        ),
    ],
)
def test_what_looks_alike_is_told_apart(one, other):
    assert key(one) != key(other)


def test_sums_may_be_told_either_way_unless_one_side_is_scaled():
    scaled = Operation("aten.add.Tensor", (("alpha", "2.0"),), (FLOATS,))
    assert key(graph((INPUT,), (WEIGHT,), (ADD, 0, 1))) == key(graph((INPUT,), (WEIGHT,), (ADD, 1, 0)))
    assert key(graph((INPUT,), (WEIGHT,), (scaled, 0, 1))) != key(graph((INPUT,), (WEIGHT,), (scaled, 1, 0)))


def over(axes: str, name: str = "aten.mean.dim") -> ComputationGraph:
    return graph((INPUT,), (Operation(name, (("dim", axes), ("keepdim", "False")), (FLOATS,)), 0))


def test_axes_of_a_reduction_are_the_same_from_either_end_and_in_any_order():
    assert key(over("[-1, -2]")) == key(over("[0, 1]")) == key(over("[1, 0]"))
    assert key(over("[-1]")) == key(over("[1]")) != key(over("[0]"))
    assert key(over("[0, 1]", "aten.permute")) != key(over("[1, 0]", "aten.permute"))


@pytest.mark.parametrize("axes", ["None", "[]", "[x]", "[99999999]", "[1,0]", "[-9]", ""])
def test_axes_that_are_none_are_compared_as_they_stand(axes):
    assert key(over(axes)) == key(over(axes)) != key(over("[0, 1]"))


def test_what_no_output_needs_is_no_novelty():
    bare = graph((INPUT,), (RELU, 0))
    padded = graph((WEIGHT,), (INPUT,), (RELU, 1), (SUB, 1, 0), (RELU, 3), outputs=((2, 0),))
    assert key(bare) == key(padded)


def test_mirror_images_that_depend_on_each_other_are_followed_together():
    """Two like branches that meet twice: whoever is first in one sum is first in the other one too."""

    def two(first: int, second: int) -> ComputationGraph:
        return graph(
            (INPUT,),
            (WEIGHT,),
            (WEIGHT,),
            (SUB, 0, 1),
            (SUB, 0, 2),
            (RELU, 3),
            (RELU, 4),
            (ADD, 3, 4),
            (SUB, 5, first),
            (SUB, 6, second),
            (ADD, 8, 9),
            (SUB, 7, 10),
        )

    straight, crossed = two(3, 4), two(4, 3)
    assert key(straight) != key(crossed)
    assert {key(reordered(straight, seed)) for seed in range(40)} == {key(straight)}
    assert {key(reordered(crossed, seed)) for seed in range(40)} == {key(crossed)}


def test_a_deep_network_is_compared_whole():
    rows = [(INPUT,), (WEIGHT,), *[(SUB, place - 1, 1) for place in range(2, 600)]]
    deep = graph(*rows)
    rows[300] = (SUB, 1, 299)
    assert key(graph(*rows)) != key(deep)


def test_a_graph_made_of_nothing_but_like_parts_is_given_up_in_time(monkeypatch):
    """A tree of sums over 128 weights, each of which may stand for any other."""
    monkeypatch.setattr(structure, "MAX_UPDATES", 5_000)
    rows: list[tuple] = [(WEIGHT,)] * 128
    level = list(range(128))
    while len(level) > 1:
        rows += [(ADD, *pair) for pair in zip(level[::2], level[1::2], strict=True)]
        level = list(range(len(rows) - len(level) // 2, len(rows)))
    with pytest.raises(TooSymmetric, match="255 operations"):
        key(graph(*rows))


def test_no_text_brings_another_error():
    with pytest.raises(GraphMalformed):
        structure_key('{"nodes": []}')
