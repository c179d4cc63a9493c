"""Operators and builtins on the numbers and collections of a symbolic run, bounded in size.

The source is hostile: no operation here can grow a value beyond the limits below.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence

from generator_svc.shapes.tensor_functions import broadcast
from generator_svc.shapes.values import (
    UNKNOWN,
    Float,
    Inconsistent,
    Int,
    Tensor,
    Undecided,
    Value,
    origins_of,
)

MAX_BITS = 128
MAX_ITEMS = 1024

_OPERATORS: Mapping[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, many: item in many,
    ast.NotIn: lambda item, many: item not in many,
}


def number(value: Value, origins: tuple[tuple[int, int, int, int], ...]) -> Value:
    """A plain number as one that remembers its literals; anything else as it is. Raises Undecided."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise Undecided("a number beyond all sizes")
        return Int(value, origins)
    return Float(value, origins) if isinstance(value, float) else value


def binary(kind: type[ast.operator], left: Value, right: Value) -> Value:
    """`left <op> right`. Raises Inconsistent and Undecided."""
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        return _tensor_binary(kind, left, right)
    operation = _OPERATORS.get(kind)
    if operation is None or left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    numbers = (int, float)
    if isinstance(left, numbers) and isinstance(right, numbers):
        if kind in {ast.Pow, ast.LShift} and (abs(right) > 64 or abs(left) > 2**32):
            raise Undecided("a power beyond all sizes")
        try:
            return number(operation(left, right), origins_of(left, right))
        except (ZeroDivisionError, ValueError, TypeError, OverflowError) as error:
            raise Inconsistent(f"arithmetic fails: {type(error).__name__}") from error
    return _sequence_binary(kind, left, right)


def _tensor_binary(kind: type[ast.operator], left: Value, right: Value) -> Value:
    if kind is ast.MatMult:
        return UNKNOWN
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return broadcast(left, right)
    tensor, other = (left, right) if isinstance(left, Tensor) else (right, left)
    return tensor if isinstance(other, int | float) else UNKNOWN


def _sequence_binary(kind: type[ast.operator], left: Value, right: Value) -> Value:
    if kind is ast.Mult and isinstance(left, list | tuple) and isinstance(right, int):
        if len(left) * right > MAX_ITEMS:
            raise Undecided("a list beyond all sizes")
        return left * int(right)
    if kind is ast.Add and isinstance(left, list | tuple) and type(left) is type(right):
        if len(left) + len(right) > MAX_ITEMS:
            raise Undecided("a list beyond all sizes")
        return type(left)([*left, *right])
    return UNKNOWN


def unary(kind: type[ast.unaryop], value: Value) -> Value:
    """`-value`, `+value`, `~value`."""
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, int | float) or kind not in {ast.USub, ast.UAdd}:
        return UNKNOWN
    return number(-value if kind is ast.USub else +value, origins_of(value))


def compare(kind: type[ast.cmpop], left: Value, right: Value) -> Value:
    """One comparison; UNKNOWN where either side is."""
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        return left is right if kind is ast.Is else left is not right if kind is ast.IsNot else UNKNOWN
    try:
        return bool(_COMPARISONS[kind](left, right))
    except TypeError:
        return UNKNOWN


def truth(value: Value) -> bool:
    """Whether a condition holds. Raises Undecided."""
    if value is UNKNOWN or isinstance(value, Tensor):
        raise Undecided("a condition that depends on data")
    children = getattr(value, "children", None)
    if children is not None and getattr(value, "kind", "") in {"ModuleList", "Sequential"}:
        return bool(children)
    plain = int | float | str | bytes | list | tuple | dict | set | range | None
    return bool(value) if isinstance(value, plain) else True


def items(value: Value) -> list[Value]:
    """The items of something iterable. Raises Undecided."""
    if isinstance(value, list | tuple | range | dict | set | str):
        if len(value) > MAX_ITEMS:
            raise Undecided("an iteration beyond all sizes")
        return [Int(item) for item in value] if isinstance(value, range) else list(value)
    children = getattr(value, "children", None)
    if children is not None:
        return list(children)
    container = getattr(value, "container", None)
    if container is not None:
        return list(container.children)
    raise Undecided("an iteration over something unknown")


def _sum(values: Value, start: Value = 0) -> Value:
    total = start
    for value in items(values):
        total = binary(ast.Add, total, value)
    return total


def _convert(kind: Callable[[Value], Value], value: Value = 0) -> Value:
    if not isinstance(value, int | float):
        return UNKNOWN
    try:
        return number(kind(value), origins_of(value))
    except (OverflowError, ValueError) as error:
        raise Inconsistent("a number that cannot be converted") from error


def _round(value: Value, digits: Value = None) -> Value:
    if not isinstance(value, int | float) or digits is not None:
        return UNKNOWN
    return _convert(round, value)


def _extreme(choose: Callable[..., Value]) -> Callable[..., Value]:
    def pick(*values: Value) -> Value:
        pool = items(values[0]) if len(values) == 1 else list(values)
        return choose(pool) if pool and all(isinstance(v, int | float) for v in pool) else UNKNOWN

    return pick


def _zip(*many: Value, **_strict: Value) -> Value:
    return list(zip(*(items(one) for one in many), strict=False))


def _sorted(values: Value, **options: Value) -> Value:
    pool = items(values)
    return sorted(pool) if not options and all(isinstance(v, int | float) for v in pool) else UNKNOWN


def _length(value: Value) -> Value:
    if isinstance(value, Tensor):
        return value.shape[0] if value.shape else UNKNOWN
    return Int(len(items(value)))


BUILTINS: Mapping[str, Callable[..., Value]] = {
    "len": _length,
    "int": lambda value=0: _convert(int, value),
    "float": lambda value=0.0: _convert(float, value),
    "abs": lambda value: _convert(abs, value),
    "round": _round,
    "min": _extreme(min),
    "max": _extreme(max),
    "sum": _sum,
    "zip": _zip,
    "enumerate": lambda values, start=0: [(Int(i + start), v) for i, v in enumerate(items(values))],
    "list": lambda values=(): items(values),
    "tuple": lambda values=(): tuple(items(values)),
    "reversed": lambda values: list(reversed(items(values))),
    "sorted": _sorted,
    "all": lambda values: all(truth(v) for v in items(values)),
    "any": lambda values: any(truth(v) for v in items(values)),
    "print": lambda *_args, **_keywords: None,
    "str": lambda *_args: UNKNOWN,
}

_MATH = {"sqrt", "floor", "ceil", "log2", "log", "log10", "prod", "gcd", "pow", "exp", "cos", "sin"}


def call_math(name: str, args: Sequence[Value]) -> Value:
    """A function of the math module on known numbers."""
    if name not in _MATH or name == "pow" or not all(isinstance(v, int | float) for v in args):
        return UNKNOWN
    try:
        return number(getattr(math, name)(*args), origins_of(*args))
    except (ValueError, OverflowError, TypeError) as error:
        raise Inconsistent(f"math.{name} fails") from error
