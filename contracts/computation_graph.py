"""The computation graph of a network: what its `forward` computes, operator by operator.

A trace brings it out of a sandbox, so whoever reads one reads a candidate's word. The form is closed and
bounded: a node takes values of earlier nodes alone, so that there are no cycles, and every list and text has
a length that it cannot exceed. As text it is JSON, each operation written once:

    {"operations": [[name, [[attribute, text], ...], [[dtype, [size, ...]], ...]], ...],
     "nodes": [[operation, [[node, output], ...]], ...],
     "outputs": [[node, output], ...]}
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

MAX_GRAPH_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_INPUTS = 1024
"""Of one node; outputs of the network as well."""
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_CHARACTERS = 512
MAX_TENSORS = 64
"""That one operation gives."""
MAX_DIMENSIONS = 16
MAX_SIZE = 2**48

INPUT = "input"
PARAMETER = "parameter"
BUFFER = "buffer"
CONSTANT = "constant"
"""The names of leaves; all other names are those of ATen's operators, such as `aten.convolution`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:]{0,127}")
_FIELDS = frozenset({"operations", "nodes", "outputs"})


class GraphMalformed(ValueError):
    """A text is no computation graph. The message names the field and what is wrong with it."""


class TensorType(NamedTuple):
    """What is known of a tensor that holds no numbers."""

    dtype: str
    shape: tuple[int, ...]


class Value(NamedTuple):
    """One of the tensors that a node gives."""

    node: int
    output: int


@dataclass(frozen=True)
class Operation:
    """What a node does, whatever it is done to."""

    name: str
    attributes: tuple[tuple[str, str], ...]
    """Names and values, as text, of all arguments that are no tensors; defaults stand there too."""
    outputs: tuple[TensorType, ...]


@dataclass(frozen=True)
class Node:
    """An operation and the values it is done to, in the order of its arguments."""

    operation: Operation
    inputs: tuple[Value, ...] = ()


@dataclass(frozen=True)
class ComputationGraph:
    """Nodes in an order in which they can be computed, and what the network gives back."""

    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]


def graph_text(graph: ComputationGraph) -> str:
    """The graph as JSON; `graph_from` reads it."""
    places: dict[Operation, int] = {}
    nodes = [[places.setdefault(node.operation, len(places)), node.inputs] for node in graph.nodes]
    operations = [[one.name, one.attributes, one.outputs] for one in places]
    document = {"operations": operations, "nodes": nodes, "outputs": graph.outputs}
    return json.dumps(document, separators=(",", ":"))


def graph_from(text: str) -> ComputationGraph:
    """The graph of a text that anybody may have written. Raises GraphMalformed."""
    if len(text) > MAX_GRAPH_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_GRAPH_BYTES:
        _refuse("graph", f"is longer than {MAX_GRAPH_BYTES} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphMalformed(f"graph: is not JSON ({type(error).__name__})") from None
    if not isinstance(document, dict) or document.keys() != _FIELDS:
        _refuse("graph", f"must have exactly the fields {', '.join(sorted(_FIELDS))}")
    operations = [
        _operation(f"operations[{place}]", one)
        for place, one in enumerate(_list("operations", document["operations"], MAX_NODES))
    ]
    nodes: list[Node] = []
    for place, one in enumerate(_list("nodes", document["nodes"], MAX_NODES)):
        number, inputs = _row(f"nodes[{place}]", one, 2)
        if not _is_count(number, len(operations)):
            _refuse(f"nodes[{place}]", "names no operation")
        nodes.append(Node(operations[number], _values(f"nodes[{place}]", inputs, nodes)))
    outputs = _values("outputs", document["outputs"], nodes)
    if not outputs:
        _refuse("outputs", "must not be empty")
    return ComputationGraph(tuple(nodes), outputs)


def _operation(field: str, value: object) -> Operation:
    name, attributes, outputs = _row(field, value, 3)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        _refuse(field, "its name must be letters, digits, dots, colons and underscores, at most 128")
    found = tuple(_attribute(field, one) for one in _list(field, attributes, MAX_ATTRIBUTES))
    return Operation(name, found, tuple(_tensor(field, one) for one in _list(field, outputs, MAX_TENSORS)))


def _attribute(field: str, value: object) -> tuple[str, str]:
    name, text = _row(field, value, 2)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        _refuse(field, "the name of an attribute must be letters, digits and underscores, at most 128")
    if not isinstance(text, str) or len(text) > MAX_ATTRIBUTE_CHARACTERS or not text.isprintable():
        _refuse(field, f"{name} must be printable text of at most {MAX_ATTRIBUTE_CHARACTERS} characters")
    return name, text


def _tensor(field: str, value: object) -> TensorType:
    dtype, shape = _row(field, value, 2)
    if not isinstance(dtype, str) or not _NAME.fullmatch(dtype):
        _refuse(field, "the dtype of an output must be a name")
    sizes = _list(field, shape, MAX_DIMENSIONS)
    if not all(_is_count(size, MAX_SIZE) for size in sizes):
        _refuse(field, f"a size of an output must be a whole number below {MAX_SIZE}")
    return TensorType(dtype, tuple(sizes))


def _values(field: str, value: object, nodes: list[Node]) -> tuple[Value, ...]:
    """Values that earlier nodes give."""
    found = []
    for place, pair in enumerate(_list(field, value, MAX_INPUTS)):
        node, output = _row(f"{field}[{place}]", pair, 2)
        if not _is_count(node, len(nodes)):
            _refuse(f"{field}[{place}]", "names no earlier node")
        if not _is_count(output, len(nodes[node].operation.outputs)):
            _refuse(f"{field}[{place}]", f"names no output of node {node}")
        found.append(Value(node, output))
    return tuple(found)


def _list(field: str, value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        _refuse(field, f"must be a list of at most {most}")
    return value


def _row(field: str, value: object, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        _refuse(field, f"must be a list of {length}")
    return value


def _is_count(value: object, below: int) -> bool:
    return type(value) is int and 0 <= value < below


def _refuse(field: str, message: str) -> NoReturn:
    raise GraphMalformed(f"{field}: {message}")
