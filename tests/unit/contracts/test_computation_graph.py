"""A computation graph survives its text; a text that anybody may have written is read or refused by name."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.computation_graph import (
    CONSTANT,
    INPUT,
    MAX_ATTRIBUTE_CHARACTERS,
    MAX_DIMENSIONS,
    MAX_GRAPH_BYTES,
    PARAMETER,
    ComputationGraph,
    GraphMalformed,
    Node,
    Operation,
    TensorType,
    Value,
    graph_from,
    graph_text,
)

IMAGES = TensorType("float32", (2, 3, 8, 8))
GRAPH = ComputationGraph(
    (
        Node(Operation(INPUT, (), (IMAGES,))),
        Node(Operation(PARAMETER, (), (TensorType("float32", (8, 192)),))),
        Node(
            Operation("aten.view", (("size", "[2, 192]"),), (TensorType("float32", (2, 192)),)),
            (Value(0, 0),),
        ),
        Node(
            Operation("aten.mm", (), (TensorType("float32", (2, 8)),)),
            (Value(2, 0), Value(1, 0)),
        ),
    ),
    (Value(3, 0),),
)


def changed(**fields) -> str:
    return json.dumps(json.loads(graph_text(GRAPH)) | fields)


def operation(name: str, shape: list | None = None, **attributes) -> str:
    return changed(operations=[[name, list(attributes.items()), [["float32", shape or []]]]])


def test_a_graph_survives_its_text():
    assert graph_from(graph_text(GRAPH)) == GRAPH


def test_an_operation_that_occurs_often_is_written_once():
    leaf = Node(Operation(CONSTANT, (), (IMAGES,)))
    graph = ComputationGraph((leaf,) * 1000, (Value(0, 0),))
    assert graph_text(graph).count("float32") == 1
    assert graph_from(graph_text(graph)) == graph


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "graph: is not JSON"),
        ("[" * 100_000, "graph: is not JSON"),
        ("9" * 10_000, "graph: is not JSON"),
        ("[]", "graph: must have exactly the fields nodes, operations, outputs"),
        (" " * (MAX_GRAPH_BYTES + 1), "graph: is longer"),
        ("é" * (MAX_GRAPH_BYTES // 2 + 1), "graph: is longer"),
        ('"\ud800"', "graph: must have exactly the fields"),
        (changed(more=1), "graph: must have exactly the fields"),
        (changed(nodes={}), "nodes: must be a list"),
        (changed(nodes=[[0, []]] * 20_001), "nodes: must be a list of at most 20000"),
        (changed(nodes=[[0, [], 1]]), r"nodes\[0\]: must be a list of 2"),
        (changed(nodes=[[99, []]]), r"nodes\[0\]: names no operation"),
        (changed(nodes=[[True, []]]), r"nodes\[0\]: names no operation"),
        (changed(nodes=[[0, [[0, 0]]]]), r"nodes\[0\]\[0\]: names no earlier node"),
        (changed(nodes=[[0, []], [1, [[-1, 0]]]]), r"nodes\[1\]\[0\]: names no earlier node"),
        (changed(nodes=[[0, []], [1, [[0, 1]]]]), r"nodes\[1\]\[0\]: names no output of node 0"),
        (changed(outputs=[]), "outputs: must not be empty"),
        (changed(outputs=[[0.0, 0]]), r"outputs\[0\]: names no earlier node"),
        (operation("a b"), r"operations\[0\]: its name"),
        (operation("a\n"), r"operations\[0\]: its name"),
        (operation("a", k="x" * (MAX_ATTRIBUTE_CHARACTERS + 1)), "k must be printable"),
        (operation("a", k="\x1b[2J"), "k must be printable"),
        (operation("a", k=1), "k must be printable"),
        (operation("a", [1] * (MAX_DIMENSIONS + 1)), "must be a list of at most"),
        (operation("a", [-1]), "a size of an output"),
        (operation("a", [1e400]), "a size of an output"),
    ],
)  # fmt: skip
def test_whatever_is_no_graph_is_refused_by_field(text, complaint):
    with pytest.raises(GraphMalformed, match=complaint):
        graph_from(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["operations", "nodes", "outputs"]), json_values)
def test_no_value_of_a_field_brings_another_error(field, value):
    with suppress(GraphMalformed):
        graph_from(changed(**{field: value}))
