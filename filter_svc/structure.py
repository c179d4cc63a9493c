"""What is compared of a computation graph: its canonical form, without names and the order of nodes.

Two graphs with the same canonical form are isomorphic: the form lists every node with its operation and what
it takes, so that equal forms are the same graph, written the same way. It is found as McKay and Piperno
(2014) do. Every node gets a colour, after Weisfeiler and Lehman (1968): its operation, the colours of what it
takes, in the order of its arguments unless that does not matter, and of what takes it. Colours follow the
order of computing, down and up again, so that few sweeps do what a hundred rounds between neighbours would.
Where nodes still share a colour, one is told from the others, and the sweeps go on. Which one makes no
difference as long as they are each other's mirror images, and nodes of networks are; a graph that was made to
be an exception may miss one that it is isomorphic to, and is never taken for another.

A graph is a candidate's word (contracts.computation_graph). Nodes that no output needs are left out first, so
that a layer which nobody uses is no novelty; and the axes over which a reduction goes are counted from the
first, in their order.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from contracts.computation_graph import ComputationGraph, Node, Operation, Value, graph_from

STRUCTURE_VERSION = 2
"""Grows whenever the key of any graph changes."""
MAX_UPDATES = 400_000
"""Colours that are computed at most, some 2 s; networks of LEMUR take 1,000 to 40,000."""
COLOUR_BYTES = 16

_SYMMETRIC = frozenset(
    {
        "aten.add.Tensor",
        "aten.mul.Tensor",
        "aten.maximum",
        "aten.minimum",
        "aten.eq.Tensor",
        "aten.ne.Tensor",
        "aten.logical_and",
        "aten.logical_or",
        "aten.logical_xor",
    }
)
_REDUCTIONS = frozenset(
    {
        "aten.mean.dim",
        "aten.sum.dim_IntList",
        "aten.amax",
        "aten.amin",
        "aten.var.correction",
        "aten.std.correction",
        "aten.logsumexp",
    }
)
_AXES = re.compile(r"\[-?\d{1,4}(, -?\d{1,4})*\]")
_CALLER = b"caller"
_Takers = tuple[tuple[int | None, bytes], ...]


class TooSymmetric(Exception):
    """A graph consists of so many like parts that its canonical form takes too long."""


def structure_key(text: str) -> bytes:
    """32 bytes. Equal ones prove that two graphs are isomorphic; isomorphic ones have equal keys, unless they
    were made to be an exception.

    Raises contracts.computation_graph.GraphMalformed, TooSymmetric.
    """
    graph = _needed(graph_from(text))
    colours = _Colours(graph)
    colours.refine()
    while (tied := colours.tied()) is not None:
        colours.tell_apart(tied)
        colours.refine()
    return hashlib.sha256(_form(graph, colours.order())).digest()


class _Colours:
    """The colour of each node, so far."""

    def __init__(self, graph: ComputationGraph) -> None:
        self._nodes = graph.nodes
        self._symmetric = [_is_symmetric(node) for node in graph.nodes]
        self._takers = _takers(graph, self._symmetric)
        self._colours = [_digest(_label(node.operation)) for node in graph.nodes]
        self._updates = 0

    def refine(self) -> None:
        """Sweep until no class of nodes falls apart any more. Raises TooSymmetric."""
        classes, found = 0, 1
        while classes < found:
            classes = found
            for place in range(len(self._nodes)):
                self._update(place, self._taken(place))
            for place in reversed(range(len(self._nodes))):
                self._update(place, self._taking(place))
            found = len(set(self._colours))

    def tied(self) -> int | None:
        """A node of the first class that has several; None where every node is told from all others."""
        counted = Counter(self._colours)
        tied = min((colour for colour, count in counted.items() if count > 1), default=None)
        return None if tied is None else self._colours.index(tied)

    def tell_apart(self, place: int) -> None:
        """Give one node a colour of its own."""
        self._colours[place] = _digest(self._colours[place], b"chosen")

    def order(self) -> list[int]:
        """The nodes, by colour."""
        return sorted(range(len(self._nodes)), key=lambda place: self._colours[place])

    def _update(self, place: int, around: Iterable[bytes]) -> None:
        self._updates += 1
        if self._updates > MAX_UPDATES:
            raise TooSymmetric(f"a graph of {len(self._nodes)} operations, too many of which are alike")
        self._colours[place] = _digest(self._colours[place], *around)

    def _taken(self, place: int) -> list[bytes]:
        inputs = self._nodes[place].inputs
        found = [self._colours[value.node] + _number(value.output) for value in inputs]
        return sorted(found) if self._symmetric[place] else found

    def _taking(self, place: int) -> list[bytes]:
        takers = self._takers[place]
        return sorted((_CALLER if node is None else self._colours[node]) + how for node, how in takers)


def _form(graph: ComputationGraph, order: list[int]) -> bytes:
    """The whole graph, with its nodes in that order."""
    number = {place: _number(new) for new, place in enumerate(order)}

    def values(listed: Iterable[Value]) -> list[bytes]:
        return [number[value.node] + _number(value.output) for value in listed]

    lines = [_digest(_number(STRUCTURE_VERSION), *values(graph.outputs))]
    for place in order:
        node = graph.nodes[place]
        inputs = values(node.inputs)
        lines.append(_digest(_label(node.operation), *(sorted(inputs) if _is_symmetric(node) else inputs)))
    return b"".join(lines)


def _is_symmetric(node: Node) -> bool:
    """Whether the operation gives the same for its two inputs in either order."""
    if node.operation.name not in _SYMMETRIC or len(node.inputs) != 2:
        return False
    return all(value == "1.0" for name, value in node.operation.attributes if name == "alpha")


def _needed(graph: ComputationGraph) -> ComputationGraph:
    """The graph without the nodes that no output needs."""
    pending, found = [value.node for value in graph.outputs], set[int]()
    while pending:
        place = pending.pop()
        if place not in found:
            found.add(place)
            pending += [value.node for value in graph.nodes[place].inputs]
    moved = {place: new for new, place in enumerate(sorted(found))}

    def values(listed: Iterable[Value]) -> tuple[Value, ...]:
        return tuple(Value(moved[value.node], value.output) for value in listed)

    nodes = tuple(Node(_plain(graph, graph.nodes[old]), values(graph.nodes[old].inputs)) for old in moved)
    return ComputationGraph(nodes, values(graph.outputs))


def _plain(graph: ComputationGraph, node: Node) -> Operation:
    """The node's operation, with the axes of a reduction counted from the first, in their order."""
    operation = node.operation
    if operation.name not in _REDUCTIONS or not node.inputs:
        return operation
    reduced = node.inputs[0]
    rank = len(graph.nodes[reduced.node].operation.outputs[reduced.output].shape)

    def counted(value: str) -> str:
        if not _AXES.fullmatch(value):
            return value
        axes = [int(axis) for axis in value[1:-1].split(", ")]
        return repr(sorted(axis + rank if axis < 0 else axis for axis in axes))

    attributes = ((name, counted(value) if name == "dim" else value) for name, value in operation.attributes)
    return replace(operation, attributes=tuple(attributes))


def _takers(graph: ComputationGraph, symmetric: list[bool]) -> list[_Takers]:
    """Of each node: who takes which of its outputs, as which argument. None is the network's caller."""
    found: dict[int, list[tuple[int | None, bytes]]] = defaultdict(list)
    for place, node in enumerate(graph.nodes):
        for argument, value in enumerate(node.inputs):
            how = _number(value.output) + (b"" if symmetric[place] else _number(argument))
            found[value.node].append((place, how))
    for argument, value in enumerate(graph.outputs):
        found[value.node].append((None, _number(value.output) + _number(argument)))
    return [tuple(found[place]) for place in range(len(graph.nodes))]


def _label(operation: Operation) -> bytes:
    return repr((operation.name, operation.attributes, operation.outputs)).encode("utf-8", "surrogatepass")


def _number(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _digest(*parts: bytes) -> bytes:
    """Of the parts and where each ends."""
    digest = hashlib.blake2b(digest_size=COLOUR_BYTES)
    for part in parts:
        digest.update(_number(len(part)))
        digest.update(part)
    return digest.digest()
