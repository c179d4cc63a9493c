"""Which forbidden operators a source uses, read off its syntax tree. Nothing is executed.

An operator goes by the name that is written after the last dot, whatever stands before it: `nn.Softmax`,
`F.softmax(x)`, `x.softmax(-1)`. Every use counts, not calls alone: a class handed on, derived from or kept
in a table is an operator of the network, too. Seen as well: names imported as others, `from … import *`,
`getattr` and `__dict__` with a name written out, and `@`, which is `matmul`.

Not seen, since only a run would show it: names put together from pieces, operators that a text chooses
(`activation="gelu"`) or that others contain (`nn.MultiheadAttention` computes a softmax), what plain
arithmetic rebuilds, and what is reached through `self` by a name that the source also sets there.
"""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

MAX_FORBIDDEN_OPERATORS = 64
OPERATOR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""What can be the name of an operator; whether torch has one of this name is not asked."""

MATRIX_PRODUCT = "matmul"
_TYPE_QUESTIONS = frozenset({"isinstance", "issubclass"})


@dataclass(frozen=True)
class OperatorUse:
    """One use of an operator; `line` is 1-based."""

    name: str
    line: int


def forbidden_use(tree: ast.Module, forbidden: Collection[str]) -> OperatorUse | None:
    """The first use of a forbidden operator from top to bottom, or None. `tree` is of a checked source."""
    if not forbidden:
        return None
    found = _Uses(tree, frozenset(forbidden)).found(tree)
    return min(found, key=lambda use: (use.line, use.name), default=None)


class _Uses:
    """Looks through one source. What the source itself defines under a name is no operator."""

    def __init__(self, tree: ast.Module, forbidden: frozenset[str]) -> None:
        self._forbidden = forbidden
        self._imported: dict[str, str] = {}
        """Names of the source, and the last part of what was imported under them."""
        self._own_names: set[str] = set()
        self._own_attributes: set[str] = set()
        self._receivers: set[str] = set()
        """What methods call their instance: `self`."""
        for node in ast.walk(tree):
            self._note_names(node)

    def _note_names(self, node: ast.AST) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    self._imported[alias.asname or alias.name] = alias.name.rpartition(".")[2]
            case ast.Attribute(attr=name, ctx=ast.Store()):
                self._own_attributes.add(name)
            case ast.Name(name, ast.Store()) | ast.arg(name):
                self._own_names.add(name)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                self._own_names.add(name)
            case ast.ClassDef(name):
                self._own_names.add(name)
                self._note_methods(node)

    def _note_methods(self, definition: ast.ClassDef) -> None:
        for member in definition.body:
            if isinstance(member, ast.FunctionDef):
                self._own_attributes.add(member.name)
                self._receivers.update(argument.arg for argument in member.args.args[:1])

    def found(self, tree: ast.Module) -> Iterator[OperatorUse]:
        """Every use, in no order."""
        pending: list[ast.AST] = [tree]
        while pending:
            node = pending.pop()
            name = self._name_of(node)
            if name in self._forbidden:
                yield OperatorUse(name, getattr(node, "lineno", 1))
            pending.extend(_looked_into(node))

    def _name_of(self, node: ast.AST) -> str:
        """The operator that a node is, by name; empty if it is none."""
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()) if not self._is_own(node):
                return name
            case ast.Name(name, ast.Load()) if name in self._imported:
                return self._imported[name]
            case ast.Name(name, ast.Load()) if name not in self._own_names:
                return name
            case ast.Call(ast.Name("getattr"), [_, ast.Constant(str(name)), *_]):
                return name
            case ast.Subscript(
                ast.Attribute(attr="__dict__") | ast.Call(ast.Name("vars")), ast.Constant(str(name))
            ):
                return name
            case ast.BinOp(op=ast.MatMult()) | ast.AugAssign(op=ast.MatMult()):
                return MATRIX_PRODUCT
        return ""

    def _is_own(self, attribute: ast.Attribute) -> bool:
        """Whether it is something that the source has put onto one of its own objects: `self.dropout`."""
        root: ast.expr = attribute
        while isinstance(root, ast.Attribute):
            root = root.value
        is_reached_from_self = isinstance(root, ast.Name) and root.id in self._receivers
        return is_reached_from_self and attribute.attr in self._own_attributes


def _looked_into(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that are run: annotations, and classes that are only asked about, are not."""
    asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TYPE_QUESTIONS
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns"}:
            continue
        parts = value if isinstance(value, list) else [value]
        for part in parts[:1] if asks and name == "args" else parts:
            if isinstance(part, ast.AST):
                yield part
