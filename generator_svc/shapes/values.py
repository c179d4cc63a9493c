"""The values of a symbolic run: numbers that remember their literals, shapes for tensors, modules.

Anything the run does not understand is UNKNOWN, and everything computed from it is UNKNOWN too, so
that a wrong guess never looks like a proof.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Span = tuple[int, int, int, int]
"""First line (1-based), first column, last line, end column; columns in UTF-8 bytes, as `ast` counts."""

Value = Any
"""A value of the run: a class of this file, or a plain None, bool, str, list, tuple, dict, set or range."""


class Int(int):
    """A whole number and the integer literals that it was computed from."""

    origins: tuple[Span, ...]

    def __new__(cls, value: int, origins: tuple[Span, ...] = ()) -> "Int":  # noqa: D102
        number = super().__new__(cls, value)
        number.origins = origins
        return number


class Float(float):
    """A float and the literals that it was computed from."""

    origins: tuple[Span, ...]

    def __new__(cls, value: float, origins: tuple[Span, ...] = ()) -> "Float":  # noqa: D102
        number = super().__new__(cls, value)
        number.origins = origins
        return number


def origins_of(*values: Value) -> tuple[Span, ...]:
    """The literals behind some values, each once, in order."""
    return tuple(dict.fromkeys(span for value in values for span in getattr(value, "origins", ())))


class Inconsistent(Exception):
    """The network would raise here. `expected` and `actual` are two sizes that had to be equal, if known."""

    def __init__(self, message: str, expected: Value = None, actual: Value = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class Undecided(Exception):
    """The run met something that it cannot follow."""


class Unknown:
    """A value that the run knows nothing about."""


UNKNOWN = Unknown()


MAX_RANK = 16
MAX_SIDE = 1 << 40


@dataclass(frozen=True)
class Tensor:
    """A tensor of known shape. Raises Undecided beyond all sensible sizes."""

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) > MAX_RANK or any(side > MAX_SIDE for side in self.shape):
            raise Undecided("a tensor beyond all sizes")


@dataclass(frozen=True)
class Symbol:
    """A name of a library, such as `torch.nn.Conv2d`, or of a builtin: `builtins.range`."""

    path: str


class Hyperparameters:
    """LEMUR's `prm`: every name is there, with the stand-in value 0.5."""

    value = Float(0.5)


class Scope:
    """Names and their values; functions look further in the scope around them."""

    def __init__(self, parent: "Scope | None" = None, method_of: "UserClass | None" = None) -> None:
        self.names: dict[str, Value] = {}
        self.parent = parent
        self.method_of = method_of
        self.receiver: Value = None

    def lookup(self, name: str) -> Value:
        """The value of a name; UNKNOWN when nothing defines it."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return UNKNOWN


@dataclass(eq=False)
class Function:
    """A function or lambda of the source."""

    node: ast.FunctionDef | ast.Lambda
    scope: Scope
    defaults: list[Value]
    keyword_defaults: dict[str, Value]
    owner: "UserClass | None" = None
    wrapper: str = ""
    """`property`, `staticmethod` or `classmethod`."""


@dataclass(eq=False)
class UserClass:
    """A class of the source."""

    name: str
    bases: list[Value]
    members: dict[str, Value] = field(default_factory=dict)

    def member(self, name: str) -> Value:
        """A member of the class or of the user classes it extends; UNKNOWN if there is none."""
        if name in self.members:
            return self.members[name]
        for base in self.bases:
            if isinstance(base, UserClass):
                found = base.member(name)
                if found is not UNKNOWN:
                    return found
        return UNKNOWN

    def library_bases(self) -> Iterable[Value]:
        """The bases that the source does not define, down the whole hierarchy."""
        for base in self.bases:
            if isinstance(base, UserClass):
                yield from base.library_bases()
            else:
                yield base


@dataclass(eq=False)
class Layer:
    """An instance of a class of torch.nn. `children` are the modules of a container."""

    kind: str
    arguments: Mapping[str, Value]
    span: Span | None
    children: list[Value] = field(default_factory=list)
    named: dict[str, Value] = field(default_factory=dict)


@dataclass(eq=False)
class Instance:
    """An instance of a class of the source. `container` holds the modules of a Sequential subclass."""

    kind: UserClass
    span: Span | None
    attributes: dict[str, Value] = field(default_factory=dict)
    container: Layer | None = None


@dataclass(frozen=True)
class Bound:
    """A function of the source with its receiver."""

    function: Function
    receiver: Value


@dataclass(frozen=True)
class Method:
    """A method that the source does not define, with its receiver."""

    receiver: Value
    name: str


@dataclass(frozen=True)
class Super:
    """`super()` inside a method."""

    owner: UserClass
    receiver: Instance


@dataclass(frozen=True)
class Partial:
    """`functools.partial`."""

    function: Value
    arguments: tuple[Value, ...]
    keywords: Mapping[str, Value]
