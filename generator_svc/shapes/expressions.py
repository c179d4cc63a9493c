"""Evaluates expressions of a source symbolically."""

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from generator_svc.shapes import arithmetic
from generator_svc.shapes.journal import Journal
from generator_svc.shapes.tensor_functions import call_tensor_function, index_tensor
from generator_svc.shapes.values import (
    UNKNOWN,
    Float,
    Function,
    Hyperparameters,
    Inconsistent,
    Int,
    Layer,
    Scope,
    Span,
    Symbol,
    Tensor,
    Undecided,
    Value,
)

MAX_STEPS = 100_000
"""Syntax nodes evaluated in one run: some ten times what a 64 KiB network needs."""

MAX_TEXT = 200


def span_of(node: ast.expr) -> Span:
    """Where an expression stands."""
    return (node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)


class Expressions(ABC):
    """The expression half of the machine."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.steps = 0

    def tick(self) -> None:
        """Count one step. Raises Undecided when the run takes too long."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Undecided("the network takes too many steps to follow")

    @abstractmethod
    def call(
        self, function: Value, args: Sequence[Value], keywords: Mapping[str, Value], span: Span
    ) -> Value:
        """The result of a call."""

    @abstractmethod
    def attribute(self, value: Value, name: str) -> Value:
        """`value.name`."""

    def evaluate(self, node: ast.expr, scope: Scope) -> Value:
        """The value of an expression. Raises Inconsistent and Undecided."""
        self.tick()
        handler = self._HANDLERS.get(type(node))
        return UNKNOWN if handler is None else handler(self, node, scope)

    def _constant(self, node: ast.Constant, _scope: Scope) -> Value:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        span = span_of(node)
        return arithmetic.number(self.journal.read_literal(span, value), (span,))

    def _name(self, node: ast.Name, scope: Scope) -> Value:
        return scope.lookup(node.id)

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Value:
        return self.attribute(self.evaluate(node.value, scope), node.attr)

    def _binary(self, node: ast.BinOp, scope: Scope) -> Value:
        left, right = self.evaluate(node.left, scope), self.evaluate(node.right, scope)
        if isinstance(node.op, ast.MatMult) and isinstance(left, Tensor) and isinstance(right, Tensor):
            return call_tensor_function("matmul", left, [right], {})
        return arithmetic.binary(type(node.op), left, right)

    def _unary(self, node: ast.UnaryOp, scope: Scope) -> Value:
        value = self.evaluate(node.operand, scope)
        if isinstance(node.op, ast.Not):
            return UNKNOWN if value is UNKNOWN else not arithmetic.truth(value)
        return arithmetic.unary(type(node.op), value)

    def _boolean(self, node: ast.BoolOp, scope: Scope) -> Value:
        stops_at = isinstance(node.op, ast.Or)
        value: Value = UNKNOWN
        for operand in node.values:
            value = self.evaluate(operand, scope)
            if arithmetic.truth(value) == stops_at:
                break
        return value

    def _compare(self, node: ast.Compare, scope: Scope) -> Value:
        left = self.evaluate(node.left, scope)
        for kind, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(comparator, scope)
            if isinstance(right, Hyperparameters) and isinstance(kind, ast.In | ast.NotIn):
                held: Value = isinstance(kind, ast.In)
            else:
                held = arithmetic.compare(type(kind), left, right)
            if held is not True:
                return held
            left = right
        return True

    def _conditional(self, node: ast.IfExp, scope: Scope) -> Value:
        chosen = node.body if arithmetic.truth(self.evaluate(node.test, scope)) else node.orelse
        return self.evaluate(chosen, scope)

    def _elements(self, nodes: Sequence[ast.expr], scope: Scope) -> list[Value]:
        values: list[Value] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values.extend(arithmetic.items(self.evaluate(node.value, scope)))
            else:
                values.append(self.evaluate(node, scope))
        return values

    def _list(self, node: ast.List, scope: Scope) -> Value:
        return self._elements(node.elts, scope)

    def _tuple(self, node: ast.Tuple, scope: Scope) -> Value:
        return tuple(self._elements(node.elts, scope))

    def _dict(self, node: ast.Dict, scope: Scope) -> Value:
        result: dict[Value, Value] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                return UNKNOWN
            known = self.evaluate(key, scope)
            if not isinstance(known, str | int):
                return UNKNOWN
            result[known] = self.evaluate(value, scope)
        return result

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        value = self.evaluate(node.value, scope)
        index = self.evaluate(node.slice, scope)
        self.journal.note_role(index, "index")
        return subscript(value, index)

    def _slice(self, node: ast.Slice, scope: Scope) -> Value:
        ends = [
            None if end is None else self.evaluate(end, scope) for end in (node.lower, node.upper, node.step)
        ]
        for end in ends:
            self.journal.note_role(end, "index")
        if any(not (end is None or isinstance(end, int)) for end in ends) or ends[2] == 0:
            return UNKNOWN
        return slice(*ends)

    def _call(self, node: ast.Call, scope: Scope) -> Value:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and scope.lookup("super") is UNKNOWN:
            return self._super(scope)
        function = self.evaluate(node.func, scope)
        args = self._elements(node.args, scope)
        keywords: dict[str, Value] = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value, scope)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
                keywords.update(value)
            else:
                raise Undecided("keyword arguments from something unknown")
        span = span_of(node)
        result = self.call(function, args, keywords, span)
        self.journal.note_call(span, args, result)
        return result

    @abstractmethod
    def _super(self, scope: Scope) -> Value: ...

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Value:
        results: list[Value] = []
        inner = Scope(scope)
        self._generate(node.generators, inner, lambda: results.append(self.evaluate(node.elt, inner)))
        return results

    def _dict_comprehension(self, node: ast.DictComp, scope: Scope) -> Value:
        results: dict[Value, Value] = {}
        inner = Scope(scope)

        def add() -> None:
            key = self.evaluate(node.key, inner)
            if not isinstance(key, str | int):
                raise Undecided("a dictionary with unknown keys")
            results[key] = self.evaluate(node.value, inner)

        self._generate(node.generators, inner, add)
        return results

    def _generate(
        self, generators: Sequence[ast.comprehension], scope: Scope, emit: Callable[[], None]
    ) -> None:
        if not generators:
            self.tick()
            emit()
            return
        first, *rest = generators
        for item in arithmetic.items(self.evaluate(first.iter, scope)):
            self.assign(first.target, item, scope)
            if all(arithmetic.truth(self.evaluate(test, scope)) for test in first.ifs):
                self._generate(rest, scope, emit)

    @abstractmethod
    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Bind a value to a target."""

    def _lambda(self, node: ast.Lambda, scope: Scope) -> Value:
        return self.function(node, scope)

    def function(self, node: ast.FunctionDef | ast.Lambda, scope: Scope) -> Function:
        """A function value; its defaults are evaluated now, as Python does."""
        arguments = node.args
        defaults = [self.evaluate(default, scope) for default in arguments.defaults]
        keyword_defaults = {
            argument.arg: self.evaluate(default, scope)
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        }
        return Function(node, scope, defaults, keyword_defaults)

    def _text(self, node: ast.JoinedStr, scope: Scope) -> Value:
        text = ""
        for part in node.values:
            value = self.evaluate(part.value if isinstance(part, ast.FormattedValue) else part, scope)
            if not isinstance(value, str | int | Float) or len(text) > MAX_TEXT:
                return UNKNOWN
            text += str(value)
        return text

    def _walrus(self, node: ast.NamedExpr, scope: Scope) -> Value:
        value = self.evaluate(node.value, scope)
        self.assign(node.target, value, scope)
        return value

    _HANDLERS: ClassVar[Mapping[type[ast.expr], Callable[[Any, Any, Scope], Value]]] = {
        ast.Constant: _constant,
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.BinOp: _binary,
        ast.UnaryOp: _unary,
        ast.BoolOp: _boolean,
        ast.Compare: _compare,
        ast.IfExp: _conditional,
        ast.List: _list,
        ast.Tuple: _tuple,
        ast.Set: _list,
        ast.Dict: _dict,
        ast.Subscript: _subscript,
        ast.Slice: _slice,
        ast.Call: _call,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.DictComp: _dict_comprehension,
        ast.Lambda: _lambda,
        ast.JoinedStr: _text,
        ast.NamedExpr: _walrus,
    }


def subscript(value: Value, index: Value) -> Value:
    """`value[index]`. Raises Inconsistent where Python would raise."""
    if isinstance(value, Hyperparameters):
        return value.value
    if value is UNKNOWN or index is UNKNOWN or isinstance(value, Symbol):
        return UNKNOWN
    if isinstance(value, Tensor):
        return index_tensor(value, index)
    if isinstance(value, Layer):
        if isinstance(index, str):
            return value.named.get(index, UNKNOWN)
        if isinstance(index, slice):
            return Layer(value.kind, {}, value.span, value.children[index])
        value = value.children
    if isinstance(value, dict):
        if isinstance(index, str | int) and index in value:
            return value[index]
        raise Inconsistent("a key that is not there")
    if isinstance(value, list | tuple | range) and isinstance(index, int | slice):
        try:
            item = value[index]
        except IndexError as error:
            raise Inconsistent(f"index {index} of {len(value)} items") from error
        return Int(item) if isinstance(value, range) and isinstance(item, int) else item
    return UNKNOWN
