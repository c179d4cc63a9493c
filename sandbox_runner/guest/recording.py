"""Writes down what is computed with tensors, as the graph that `contracts.computation_graph` describes.

Every ATen operator that runs while a Recorder is active becomes a node. What a tensor holds is looked up by
its storage and its place in it: so `detach`, a `view` of the same shape and the like leave no trace, a write
through one view is seen through all others, and in-place operators are those that they stand for.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from contracts.computation_graph import (
    CONSTANT,
    MAX_ATTRIBUTE_CHARACTERS,
    MAX_INPUTS,
    MAX_NODES,
    ComputationGraph,
    Node,
    Operation,
    TensorType,
    Value,
)

MAX_CONSTANT_BYTES = 16 * 1024 * 1024
"""Of larger constants only the shape is told."""
_WITHOUT_MEANING = frozenset({"device", "layout", "pin_memory", "memory_format", "generator", "non_blocking"})
"""Arguments that say where and how numbers lie, not which they are."""
_COPIES = frozenset({"aten::clone", "aten::contiguous", "aten::lift_fresh", "aten::lift_fresh_copy"})
_VIEWS = {
    f"aten::{name}": "aten.view"
    for name in ("view", "_unsafe_view", "_reshape_alias", "reshape", "squeeze", "unsqueeze")
}
"""The same numbers in another shape, which the outputs tell already."""
WRITTEN = "written"
"""The name of what a view holds after somebody wrote through another one of the same storage."""


class GraphTooLarge(Exception):
    """More is computed than a graph may tell of."""


class _Place(NamedTuple):
    """Where in its storage a tensor lies."""

    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Recorder(TorchDispatchMode):
    """A mode under which operators run as ever, and are written down."""

    def __init__(self) -> None:
        super().__init__()
        self._nodes: list[Node] = []
        self._storages: dict[int, dict[_Place, Value]] = {}
        self._kept: list[torch.UntypedStorage] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operator and note it."""
        given = list(_given(func._schema, args, kwargs or {}))
        inputs, attributes = self._read(given)
        result = func(*args, **(kwargs or {}))
        self._note(func, given, inputs, attributes, list(_tensors(result)))
        return result

    def set_leaf(self, name: str, tensor: torch.Tensor) -> None:
        """From now on the tensor's storage holds a leaf of that name, however it came about."""
        self._storages.get(_storage(tensor), {}).clear()
        self._put(tensor, self._add(Operation(name, (), (_type(tensor),)), ()))

    def graph(self, outputs: Sequence[torch.Tensor]) -> ComputationGraph:
        """What has been noted so far, of a network that gives these."""
        return ComputationGraph(tuple(self._nodes), tuple(self._value(tensor) for tensor in outputs))

    def _read(self, given: list[tuple[Any, Any]]) -> tuple[tuple[Value, ...], tuple[tuple[str, str], ...]]:
        inputs: list[Value] = []
        attributes: list[tuple[str, str]] = []
        for argument, value in given:
            if argument.name in _WITHOUT_MEANING:
                continue
            if isinstance(value, torch.Tensor):
                inputs.append(self._value(value))
                continue
            if isinstance(value, list | tuple) and any(isinstance(one, torch.Tensor) for one in value):
                inputs += [self._value(one) for one in value if isinstance(one, torch.Tensor)]
                value = [isinstance(one, torch.Tensor) for one in value]
            attributes.append((argument.name, _text(value, str(argument.type))))
        return tuple(inputs), tuple(attributes)

    def _note(
        self,
        func: Any,
        given: list[tuple[Any, Any]],
        inputs: tuple[Value, ...],
        attributes: tuple[tuple[str, str], ...],
        returned: list[torch.Tensor],
    ) -> None:
        name = func._schema.name
        written = [tensor for argument, value in given if _is_written(argument) for tensor in _tensors(value)]
        if name in _COPIES and len(inputs) == len(returned) == 1:
            self._put(returned[0], inputs[0])
            return
        if name == "aten::_to_copy" and _type(returned[0]) == self._type_of(inputs[0]):
            self._put(returned[0], inputs[0])
            return
        if name == "aten::copy_" and self._type_of(inputs[0]) == self._type_of(inputs[1]):
            self._write(written[0], inputs[1])
            return
        if not written and all(self._known(tensor) is not None for tensor in returned):
            return  # Gives what it got.
        also = [tensor for tensor in written if not any(tensor is one for one in returned)]
        outputs = tuple(map(_type, (*returned, *also)))
        if name in _VIEWS:
            operation = Operation(_VIEWS[name], (), outputs)
        else:
            operation = Operation(_operator(func), attributes, outputs)
        node = self._add(operation, inputs)
        for place, tensor in enumerate((*returned, *also)):
            value = Value(node.node, place)
            if any(tensor is one for one in written):
                self._write(tensor, value)
            else:
                self._put(tensor, value)

    def _value(self, tensor: torch.Tensor) -> Value:
        found = self._known(tensor)
        if found is None:
            operation = Operation(CONSTANT, _content(tensor), (_type(tensor),))
            found = self._put(tensor, self._add(operation, ()))
        return found

    def _known(self, tensor: torch.Tensor) -> Value | None:
        return self._storages.get(_storage(tensor), {}).get(_place(tensor))

    def _put(self, tensor: torch.Tensor, value: Value) -> Value:
        number = _storage(tensor)
        if number not in self._storages:
            self._storages[number] = {}
            self._kept.append(tensor.untyped_storage())  # so that no other one ever has its number
        self._storages[number][_place(tensor)] = value
        return value

    def _write(self, tensor: torch.Tensor, value: Value) -> None:
        """The tensor holds `value` now, and all that share its storage hold what is left of theirs and it."""
        if self._known(tensor) == value:
            return
        self._put(tensor, value)
        places = self._storages[_storage(tensor)]
        source = _place(tensor)
        for place, before in places.items():
            if place != source:
                attributes = (("from", _placed(source)), ("to", _placed(place)))
                operation = Operation(WRITTEN, attributes, (self._type_of(before),))
                places[place] = self._add(operation, (before, value))

    def _add(self, operation: Operation, inputs: tuple[Value, ...]) -> Value:
        if len(self._nodes) >= MAX_NODES:
            raise GraphTooLarge(f"more than {MAX_NODES} operations are computed")
        if len(inputs) > MAX_INPUTS:
            raise GraphTooLarge(f"{operation.name} takes more than {MAX_INPUTS} tensors")
        self._nodes.append(Node(operation, inputs))
        return Value(len(self._nodes) - 1, 0)

    def _type_of(self, value: Value) -> TensorType:
        return self._nodes[value.node].operation.outputs[value.output]


def _given(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each argument of an operator with what it is given, or its default."""
    for place, argument in enumerate(schema.arguments):
        if place < len(args):
            yield argument, args[place]
        elif argument.name in kwargs:
            yield argument, kwargs[argument.name]
        else:
            yield argument, argument.default_value


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _operator(func: Any) -> str:
    """Its name and overload, of `add_` those of `add`."""
    name, overload = func._schema.name.replace("::", "."), func._schema.overload_name
    if name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    return f"{name}.{overload}" if overload else name


def _text(value: object, kind: str) -> str:
    """A value of an argument; of one that takes whole and broken numbers, both are written alike."""
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(_text(one, kind) for one in value) + "]"
    else:
        text = str(value)
    if len(text) > MAX_ATTRIBUTE_CHARACTERS:
        return f"{text[:64]}… sha256 {hashlib.sha256(text.encode()).hexdigest()}"
    return text


def _type(tensor: torch.Tensor) -> TensorType:
    return TensorType(str(tensor.dtype).removeprefix("torch."), tuple(map(int, tensor.shape)))


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _place(tensor: torch.Tensor) -> _Place:
    return _Place(tensor.dtype, int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride()))


def _placed(place: _Place) -> str:
    return f"{place.offset} {list(place.shape)} {list(place.strides)}"[:MAX_ATTRIBUTE_CHARACTERS]


def _content(tensor: torch.Tensor) -> tuple[tuple[str, str], ...]:
    """What tells constants with other numbers apart, where there are numbers."""
    if type(tensor) not in {torch.Tensor, torch.nn.Parameter} or tensor.device.type != "cpu":
        return ()
    if tensor.numel() * tensor.element_size() > MAX_CONSTANT_BYTES:
        return ()
    with torch._C._DisableTorchDispatch():
        numbers = tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
    return (("sha256", hashlib.sha256(numbers).hexdigest()),)
