"""What a trace finds out: the computation, whatever it is written like, and why where it cannot be told."""

from collections import Counter

import pytest
import torch
from sample_networks import CONVOLUTIONAL, LEARNS_BY_ITSELF
from small_datasets import guest_data

from contracts.computation_graph import ComputationGraph, TensorType, graph_from
from contracts.names import SourceContract
from sandbox_runner.guest import tracing
from sandbox_runner.guest.candidate_loader import load_candidate
from sandbox_runner.guest.failures import CandidateFailure

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = """
import torch
from torch import nn
import torch.nn.functional as F
class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.head = nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])
        {init}
    def forward(self, x):
        {forward}
"""


@pytest.fixture
def traced(tmp_path):
    """The payload of a TRACED frame about a source."""
    job = {"data": guest_data(tmp_path), "epochs": 1, "seed": 5, "hyperparameters": {"batch": 2}}

    def trace(source: str, contract: SourceContract = SourceContract.PLAIN) -> dict[str, str]:
        built = tracing.build(load_candidate(source), contract, job)
        return tracing.answer(lambda: tracing.trace(built))

    return trace


@pytest.fixture
def graph_of(traced):
    """The graph of a plain network with this `forward`, as far as the outputs need it."""

    def graph(forward: str, init: str = "pass") -> ComputationGraph:
        return needed(graph_from(traced(PLAIN.format(init=init, forward=forward))["graph"]))

    return graph


def needed(graph: ComputationGraph) -> ComputationGraph:
    """The same graph without what its outputs do not need, each node by its place among the others."""
    pending, seen = [value.node for value in graph.outputs], set()
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending += [value.node for value in graph.nodes[node].inputs]
    places = {node: place for place, node in enumerate(sorted(seen))}
    moved = [
        (graph.nodes[node].operation, tuple((places[v.node], v.output) for v in graph.nodes[node].inputs))
        for node in places
    ]
    return ComputationGraph(tuple(moved), tuple((places[v.node], v.output) for v in graph.outputs))


def names(graph: ComputationGraph) -> Counter[str]:
    return Counter(operation.name for operation, _ in graph.nodes)


def test_every_operator_of_forward_is_told_with_attributes_and_shapes(traced):
    graph = graph_from(traced(CONVOLUTIONAL)["graph"])
    operations = {node.operation.name: node.operation for node in graph.nodes}
    assert operations["input"].outputs == (TensorType("float32", (2, 1, 8, 8)),)
    convolution = operations["aten.convolution"]
    assert convolution.outputs == (TensorType("float32", (2, 8, 8, 8)),)
    assert dict(convolution.attributes)["padding"] == "[1, 1]"
    assert dict(operations["aten.bernoulli.float"].attributes)["p"] == "0.9"
    assert dict(operations["aten.native_batch_norm"].attributes)["training"] == "True"
    assert sum(node.operation.name == "parameter" for node in graph.nodes) == 6
    assert graph.nodes[graph.outputs[0].node].operation.name == "aten.addmm"


def test_networks_of_lemurs_contract_are_traced_alike(traced):
    graph = graph_from(traced(LEARNS_BY_ITSELF, SourceContract.LEMUR)["graph"])
    assert graph.nodes[graph.outputs[0].node].operation.outputs == (TensorType("float32", (2, 3)),)


def test_a_network_of_gigabytes_is_traced_in_no_memory(traced):
    huge = PLAIN.format(init="self.wide = nn.Linear(64, 2**34)", forward="return self.head(x.flatten(1))")
    assert "graph" in traced(huge)


@pytest.mark.parametrize(
    "forward",
    [
        "x = F.relu(x)\n        return self.head(torch.flatten(x, 1))",
        "x = x.relu_()\n        return self.head(x.view(x.size(0), -1))",
        "y = nn.ReLU(inplace=True)(x)\n        return self.head(nn.Identity()(nn.Flatten()(y)))",
        "x = F.relu(x.detach()).clone().contiguous().reshape(2, -1)\n        return self.head(x.float())",
        "wasted = x.exp().sum()\n        return self.head(x.relu().flatten(1))",
    ],
)
def test_what_computes_the_same_has_the_same_graph(graph_of, forward):
    plain = graph_of("return self.head(F.relu(x).flatten(1))")
    assert graph_of(forward) == plain
    assert names(plain)["aten.relu"] == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x * 0.5", "x * 0.25"),
        ("x * torch.tensor(0.5)", "x * torch.tensor(0.25)"),
        ("x - x.relu()", "x.relu() - x"),
        ("F.dropout(x, 0.1)", "F.dropout(x, 0.2)"),
        ("F.leaky_relu(x, 0.1)", "F.leaky_relu(x)"),
        ("x * self.table", "x * (self.table + 1)"),
    ],
)
def test_what_computes_something_else_has_another_graph(graph_of, one, other):
    forward = "return self.head(({}).flatten(1))"
    init = "self.register_buffer('table', torch.arange(8.0))"
    assert graph_of(forward.format(one), init) != graph_of(forward.format(other), init)


def test_a_write_through_a_view_is_seen_in_the_whole(graph_of):
    whole = graph_of("x[:, :, 0] += 1\n        return self.head(x.flatten(1))")
    assert names(whole)["written"] == 1
    assert whole != graph_of("y = x[:, :, 0] + 1\n        return self.head(x.flatten(1))")
    assert whole != graph_of("x[:, :, 1] += 1\n        return self.head(x.flatten(1))")


def test_a_weight_that_is_used_twice_is_one_leaf(graph_of):
    shared = graph_of("return self.head(self.a(self.a(x)).flatten(1))", "self.a = nn.Linear(8, 8)")
    apart = graph_of(
        "return self.head(self.b(self.a(x)).flatten(1))", "self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)"
    )
    assert (names(shared)["parameter"], names(apart)["parameter"]) == (4, 6)


def test_numbers_that_a_network_needs_while_it_is_built_are_there(graph_of):
    init = "self.rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]"
    graph = graph_of("return self.head(x.flatten(1)) * self.rates[2]", init)
    scaled = next(operation for operation, _ in graph.nodes if operation.name == "aten.mul.Tensor")
    assert float(dict(scaled.attributes)["other"]) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        ("return self.head(x.flatten(1)) if x.max() > 0 else None", "line 11: DataDependentOutputException"),
        ("return self.head(x.flatten(1)) * float(x.sum())", "line 11: DataDependentOutputException"),
        ("return self.head(x)", "line 11: RuntimeError"),
        pytest.param(
            "for _ in range(20_001): x = x + 1\n        return x",
            "more than 20000 operations",
            marks=pytest.mark.full,
        ),
        ("return [x] * 65", "more than 64 tensors"),
        ("return forward(x)", "NameError"),
    ],
)
def test_what_cannot_be_traced_says_why(traced, forward, reason):
    told = traced(PLAIN.format(init="pass", forward=forward))
    assert told.keys() == {"not_traceable"}
    assert reason in told["not_traceable"]


@pytest.mark.parametrize("forward", ["return None", "return 'logits'", "a = []; a.append(a); return a"])
def test_an_answer_without_a_tensor_is_the_candidates_failure(traced, forward):
    with pytest.raises(CandidateFailure, match="must return a torch"):
        traced(PLAIN.format(init="pass", forward=forward))


def test_what_a_network_raises_while_it_is_built_is_raised(traced):
    with pytest.raises(ZeroDivisionError):
        traced(PLAIN.format(init="1 / 0", forward="return x"))


def test_a_candidate_that_ends_the_process_is_no_riddle(traced):
    with pytest.raises(SystemExit):
        traced(PLAIN.format(init="pass", forward="raise SystemExit"))


def test_outputs_of_training_are_told_in_their_order(traced):
    forward = "y = self.head(x.flatten(1)); return {'out': y, 'aux': [y.relu()]}"
    graph = graph_from(traced(PLAIN.format(init="pass", forward=forward))["graph"])
    given = [graph.nodes[value.node].operation.name for value in graph.outputs]
    assert given == ["aten.relu", "aten.addmm"]


def test_the_same_source_gives_the_same_graph_each_time(traced):
    torch.manual_seed(1)
    first = traced(CONVOLUTIONAL)
    torch.manual_seed(2)
    assert traced(CONVOLUTIONAL) == first
