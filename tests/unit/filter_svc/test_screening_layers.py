"""Three layers, the cheapest first: which one recognises a copy, what is told, and what a graph can do."""

from dataclasses import replace

import pytest

from contracts.computation_graph import (
    ComputationGraph,
    GraphMalformed,
    Node,
    Operation,
    TensorType,
    Value,
    graph_text,
)
from contracts.jobs import Admission, ScreeningRequest
from contracts.names import NoveltyLayer, StructureComparison
from filter_svc import screening, structure
from filter_svc.difference import MAX_LINE_CHARACTERS, MAX_LINES, difference
from filter_svc.index import NoveltyIndex, open_store
from filter_svc.screening import admit, screen

SCOPE = "search:se_0a"
SEQUENTIAL = """
import torch.nn as nn
class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(16 * in_shape[2] * in_shape[3], out_shape[0]),
        )
    def forward(self, x):
        return self.layers(x)
"""
EXPLICIT = """
import torch
from torch import nn
from torch.nn import functional as F
class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.head = nn.Linear(16 * in_shape[2] * in_shape[3], out_shape[0])
        self.first = nn.Conv2d(in_shape[1], 16, 3, padding=1)
    def forward(self, images):
        found = F.relu(self.first(images))
        return self.head(torch.flatten(found, 1))
"""
UNRELATED = "import torch\nclass Net(torch.nn.Module):\n    forward = torch.exp\n"


def graph(operator: str) -> str:
    kind = TensorType("float32", (2, 3))
    nodes = (Node(Operation("input", (), (kind,))), Node(Operation(operator, (), (kind,)), (Value(0, 0),)))
    return graph_text(ComputationGraph(nodes, (Value(1, 0),)))


def request(source: str, **fields) -> ScreeningRequest:
    return ScreeningRequest(SCOPE, "asking", source, **fields)


@pytest.fixture
def index(tmp_path):
    """Knows one network, in the words of `nn.Sequential`, with its graph."""
    opened = NoveltyIndex(open_store("memory:", tmp_path))
    admit(opened, "known", Admission(SCOPE, SEQUENTIAL, "sequential", graph("aten.relu")))
    yield opened
    opened.close()


def test_equal_sources_decide_before_any_graph(index):
    found = screen(index, request(SEQUENTIAL.replace("x)", "y)"), graph=graph("aten.tanh")))
    assert (found.layer, found.difference) == (NoveltyLayer.EXACT, ())
    assert found.nearest[0].structure == 0.0


def test_a_copy_in_other_words_is_recognised_by_its_graph_and_told_with_the_lines(index):
    found = screen(index, request(EXPLICIT, graph=graph("aten.relu")))
    assert (found.novel, found.layer) == (False, NoveltyLayer.STRUCTURE)
    assert found.structure is StructureComparison.COMPARED
    nearest = found.nearest[0]
    assert (nearest.id, nearest.label, nearest.structure) == ("known", "sequential", 1.0)
    assert screening.CORROBORATION <= nearest.jaccard < 0.9
    assert "+        found = F.relu(self.first(images))" in found.difference
    assert found.difference[:2] == ("--- sequential", "+++ this source")


def test_another_graph_leaves_the_decision_to_the_text(index):
    assert screen(index, request(EXPLICIT, graph=graph("aten.tanh"))).novel is True
    near = SEQUENTIAL.replace("padding=1", "padding=2")
    found = screen(index, request(near, threshold=0.5, graph=graph("aten.tanh")))
    assert (found.layer, found.nearest[0].structure) == (NoveltyLayer.JACCARD, 0.0)
    assert any(line.startswith("-") and "padding=1" in line for line in found.difference)


def test_without_a_graph_the_structure_layer_says_nothing(index):
    found = screen(index, request(EXPLICIT))
    assert (found.novel, found.structure) == (True, StructureComparison.NOT_TRACED)
    assert (found.structure_key, found.nearest[0].structure) == (None, None)


def test_a_search_may_do_without_the_layer(index):
    found = screen(index, request(EXPLICIT, graph=graph("aten.relu"), structure_threshold=None))
    assert (found.novel, found.structure) == (True, StructureComparison.OFF)


def test_a_forged_graph_does_not_keep_out_what_shares_no_text_with_its_forger(index):
    """Somebody claims the graph of a network that was not proposed yet, and that network comes."""
    admit(index, "forger", Admission(SCOPE, UNRELATED, graph=graph("aten.gelu")))
    honest = screen(index, request(EXPLICIT, graph=graph("aten.gelu")))
    assert (honest.novel, honest.layer) == (True, None)
    assert {one.id: one.structure for one in honest.nearest} == {"known": 0.0, "forger": 1.0}


def test_a_forger_in_between_does_not_hide_who_was_really_copied(index):
    admit(index, "forger", Admission(SCOPE, UNRELATED, graph=graph("aten.relu")))
    found = screen(index, request(EXPLICIT, graph=graph("aten.relu")))
    assert (found.layer, found.nearest[0].id) == (NoveltyLayer.STRUCTURE, "known")


def test_graphs_are_compared_within_a_scope_and_with_whom_was_asked(index):
    asked = request(EXPLICIT, graph=graph("aten.relu"))
    assert screen(index, replace(asked, scope="search:se_0b")).novel is True
    assert screen(index, replace(asked, among=())).novel is True
    assert screen(index, replace(asked, among=("known",))).layer is NoveltyLayer.STRUCTURE
    assert screen(index, replace(asked, proposal_id="known")).novel is True


def test_a_graph_that_takes_too_long_to_compare_says_so_and_is_admitted_without(index, monkeypatch):
    monkeypatch.setattr(structure, "MAX_UPDATES", 0)
    endless = graph("aten.of_no_other_test")  # what a graph came to is remembered
    found = screen(index, request(EXPLICIT, graph=endless))
    assert (found.novel, found.structure) == (True, StructureComparison.UNDECIDED)
    admit(index, "symmetric", Admission(SCOPE, EXPLICIT, graph=endless))
    assert index.find(SCOPE, "symmetric").structure is None


def test_what_is_no_graph_is_refused_and_never_novel(index):
    with pytest.raises(GraphMalformed):
        screen(index, request(EXPLICIT, graph="{}"))
    with pytest.raises(GraphMalformed):
        admit(index, "p", Admission(SCOPE, EXPLICIT, graph="{}"))
    assert index.find(SCOPE, "p") is None


def test_a_difference_is_bounded_in_lines_and_characters():
    told = difference("a\n" * 5, "\n".join(f"{n}" + "x" * 5000 for n in range(2000)), "before")
    assert len(told) == MAX_LINES
    assert max(map(len, told)) == MAX_LINE_CHARACTERS
    assert told[-1].endswith("more lines")
