"""Executes statements of a source symbolically."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from generator_svc.shapes import arithmetic
from generator_svc.shapes.expressions import Expressions
from generator_svc.shapes.values import (
    UNKNOWN,
    Inconsistent,
    Instance,
    Layer,
    Scope,
    Symbol,
    Tensor,
    Undecided,
    UserClass,
    Value,
)

MAX_LOOP = 512


class Returned(Exception):
    """A function returns."""

    def __init__(self, value: Value) -> None:
        super().__init__()
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Statements(Expressions):
    """The statement half of the machine."""

    def execute(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Run statements. Raises Inconsistent, Undecided, and Returned inside a function."""
        for node in body:
            self.tick()
            handler = self._STATEMENTS.get(type(node))
            if handler is None:
                raise Undecided(f"a {type(node).__name__.lower()} statement")
            handler(self, node, scope)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Bind a value to a name, an attribute, an item, or several of them."""
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
        elif isinstance(target, ast.Attribute):
            self._assign_attribute(self.evaluate(target.value, scope), target.attr, value)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target.elts, value, scope)
        elif isinstance(target, ast.Subscript):
            self._assign_item(self.evaluate(target.value, scope), self.evaluate(target.slice, scope), value)
        else:
            raise Undecided("an assignment to something unknown")

    def _assign_attribute(self, owner: Value, name: str, value: Value) -> None:
        if isinstance(owner, Instance):
            owner.attributes[name] = value
        elif isinstance(owner, Layer):
            owner.named[name] = value

    def _assign_item(self, owner: Value, index: Value, value: Value) -> None:
        if isinstance(owner, dict) and isinstance(index, str | int):
            owner[index] = value
        elif isinstance(owner, Layer) and isinstance(index, str):
            owner.named[index] = value
            owner.children.append(value)
        elif isinstance(owner, list) and isinstance(index, int) and -len(owner) <= index < len(owner):
            owner[index] = value
        elif isinstance(owner, list) and isinstance(index, slice):
            owner[index] = arithmetic.items(value)
            arithmetic.items(owner)
        elif owner is not UNKNOWN and not isinstance(owner, Tensor):
            raise Undecided("an assignment to an unknown item")

    def _unpack(self, targets: Sequence[ast.expr], value: Value, scope: Scope) -> None:
        if value is UNKNOWN or isinstance(value, Tensor):
            for target in targets:
                self.assign(target.value if isinstance(target, ast.Starred) else target, UNKNOWN, scope)
            return
        values = arithmetic.items(value)
        starred = [i for i, target in enumerate(targets) if isinstance(target, ast.Starred)]
        if starred:
            at, after = starred[0], len(targets) - starred[0] - 1
            middle = values[at : len(values) - after]
            values = [*values[:at], middle, *values[len(values) - after :]]
        if len(values) != len(targets):
            raise Inconsistent(f"{len(values)} values for {len(targets)} names")
        for target, item in zip(targets, values, strict=True):
            self.assign(target.value if isinstance(target, ast.Starred) else target, item, scope)

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.evaluate(node.value, scope)
        for target in node.targets:
            self.assign(target, value, scope)

    def _annotated(self, node: ast.AnnAssign, scope: Scope) -> None:
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value, scope), scope)

    def _augmented(self, node: ast.AugAssign, scope: Scope) -> None:
        old = self.evaluate(node.target, scope)
        added = self.evaluate(node.value, scope)
        if isinstance(old, list) and isinstance(node.op, ast.Add):
            old.extend(arithmetic.items(added))
            arithmetic.items(old)
            return
        if isinstance(old, Layer) and old.kind == "ModuleList" and isinstance(node.op, ast.Add):
            old.children.extend(arithmetic.items(added))
            return
        self.assign(node.target, arithmetic.binary(type(node.op), old, added), scope)

    def _expression(self, node: ast.Expr, scope: Scope) -> None:
        self.evaluate(node.value, scope)

    def _if(self, node: ast.If, scope: Scope) -> None:
        chosen = node.body if arithmetic.truth(self.evaluate(node.test, scope)) else node.orelse
        self.execute(chosen, scope)

    def _for(self, node: ast.For, scope: Scope) -> None:
        for item in arithmetic.items(self.evaluate(node.iter, scope)):
            self.tick()
            self.assign(node.target, item, scope)
            try:
                self.execute(node.body, scope)
            except _Break:
                return
            except _Continue:
                continue
        self.execute(node.orelse, scope)

    def _while(self, node: ast.While, scope: Scope) -> None:
        for _ in range(MAX_LOOP):
            if not arithmetic.truth(self.evaluate(node.test, scope)):
                self.execute(node.orelse, scope)
                return
            try:
                self.execute(node.body, scope)
            except _Break:
                return
            except _Continue:
                continue
        raise Undecided("a loop that does not end")

    def _return(self, node: ast.Return, scope: Scope) -> None:
        raise Returned(None if node.value is None else self.evaluate(node.value, scope))

    def _raise(self, node: ast.Raise, _scope: Scope) -> None:
        raise Inconsistent(f"line {node.lineno} raises")

    def _assert(self, node: ast.Assert, scope: Scope) -> None:
        held = self.evaluate(node.test, scope)
        if held is not UNKNOWN and not arithmetic.truth(held):
            raise Inconsistent(f"the assertion of line {node.lineno} fails")

    def _define(self, node: ast.FunctionDef, scope: Scope) -> None:
        function = self.function(node, scope)
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Name) and decorator.id in {
                "property",
                "staticmethod",
                "classmethod",
            }:
                function.wrapper = decorator.id
            elif not self._is_harmless(decorator):
                scope.names[node.name] = UNKNOWN
                return
        scope.names[node.name] = function

    def _is_harmless(self, decorator: ast.expr) -> bool:
        """Whether a decorator leaves shapes alone: `@torch.no_grad()` and the like."""
        return ast.unparse(decorator).startswith(
            ("torch.no_grad", "torch.inference_mode", "torch.jit", "override")
        )

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        if node.decorator_list:
            scope.names[node.name] = UNKNOWN
            return
        created = UserClass(node.name, [self.evaluate(base, scope) for base in node.bases])
        inner = Scope(scope, method_of=created)
        self.execute(node.body, inner)
        created.members = inner.names
        for member in created.members.values():
            if hasattr(member, "owner") and member.owner is None:
                member.owner = created
        scope.names[node.name] = created

    def _import(self, node: ast.Import, scope: Scope) -> None:
        for alias in node.names:
            if alias.asname:
                scope.names[alias.asname] = Symbol(alias.name)
            else:
                root = alias.name.partition(".")[0]
                scope.names[root] = Symbol(root)

    def _import_from(self, node: ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            scope.names[alias.asname or alias.name] = Symbol(f"{node.module}.{alias.name}")

    def _with(self, node: ast.With, scope: Scope) -> None:
        for item in node.items:
            self.evaluate(item.context_expr, scope)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, UNKNOWN, scope)
        self.execute(node.body, scope)

    def _pass(self, _node: ast.stmt, _scope: Scope) -> None:
        return

    def _break(self, _node: ast.Break, _scope: Scope) -> None:
        raise _Break

    def _continue(self, _node: ast.Continue, _scope: Scope) -> None:
        raise _Continue

    def _delete(self, node: ast.Delete, scope: Scope) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Name):
                raise Undecided("a deletion")
            scope.names.pop(target.id, None)

    _STATEMENTS: ClassVar[Mapping[type[ast.stmt], Callable[[Any, Any, Scope], None]]] = {
        ast.Assign: _assign,
        ast.AnnAssign: _annotated,
        ast.AugAssign: _augmented,
        ast.Expr: _expression,
        ast.If: _if,
        ast.For: _for,
        ast.While: _while,
        ast.Return: _return,
        ast.Raise: _raise,
        ast.Assert: _assert,
        ast.FunctionDef: _define,
        ast.ClassDef: _class,
        ast.Import: _import,
        ast.ImportFrom: _import_from,
        ast.With: _with,
        ast.Pass: _pass,
        ast.Break: _break,
        ast.Continue: _continue,
        ast.Delete: _delete,
    }
