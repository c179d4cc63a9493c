"""What a symbolic run writes down for those who mutate the source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from generator_svc.shapes.layers import parameter_count
from generator_svc.shapes.values import (
    Instance,
    Layer,
    Span,
    Tensor,
    Value,
    origins_of,
)

Shape = tuple[int, ...]


@dataclass
class CallShapes:
    """The shapes that went into and came out of one call expression, each time that it ran."""

    passed: list[tuple[Shape, Shape]] = field(default_factory=list)

    @property
    def keeps_shape(self) -> bool:
        """Whether the call ran, and every time gave back the shape of its first argument."""
        return bool(self.passed) and all(given == result for given, result in self.passed)


class Journal:
    """Literals with their roles, modules with the shapes that went through them, and costs."""

    def __init__(self, overrides: Mapping[Span, int]) -> None:
        self._overrides = overrides
        self.literals: dict[Span, int | float] = {}
        self.roles: dict[Span, set[str]] = {}
        self.direct: set[Span] = set()
        """Literals that arrived somewhere unchanged, and not only as a part of a computation."""
        self.modules: dict[Span, list[Layer | Instance]] = {}
        """By the call that constructed them."""
        self.made: set[Span] = set()
        """Call expressions that gave a module, constructors and functions alike."""
        self.applications: dict[Span, CallShapes] = {}
        """Shapes through modules, by the call that constructed them."""
        self.calls: dict[Span, CallShapes] = {}
        """Shapes through call expressions whose first argument and result are tensors."""
        self.parameters = 0
        self.multiply_adds = 0

    def read_literal(self, span: Span, value: int | float) -> int | float:
        """A number of the source is read; what it counts as."""
        self.literals[span] = self._overrides.get(span, value)
        return self.literals[span]

    def note_role(self, value: Value, role: str) -> None:
        """A number has arrived somewhere where it means `role`."""
        for one in value if isinstance(value, tuple | list) else (value,):
            origins = origins_of(one)
            for span in origins:
                self.roles.setdefault(span, set()).add(role)
            if len(origins) == 1 and self.literals.get(origins[0]) == one:
                self.direct.add(origins[0])

    def note_module(self, span: Span, module: Layer | Instance) -> None:
        """A module was constructed."""
        self.modules.setdefault(span, []).append(module)
        if isinstance(module, Layer):
            self.parameters += parameter_count(module)

    def note_application(self, span: Span | None, args: Sequence[Value], result: Value) -> None:
        """A module was called."""
        if span is not None:
            self._note(self.applications, span, args, result)

    def note_call(self, span: Span, args: Sequence[Value], result: Value) -> None:
        """A call expression has returned."""
        if isinstance(result, Layer | Instance):
            self.made.add(span)
        self._note(self.calls, span, args, result)

    def note_cost(self, multiply_adds: int) -> None:
        """A layer has worked."""
        self.multiply_adds += multiply_adds

    def _note(self, table: dict[Span, CallShapes], span: Span, args: Sequence[Value], result: Value) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(result, Tensor):
            table.setdefault(span, CallShapes()).passed.append((args[0].shape, result.shape))
