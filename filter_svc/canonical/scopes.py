"""Which variable each name in a module means: Python's scoping, closures, `global` and `nonlocal` included.

One walk collects every occurrence of a name in a fixed order; afterwards each occurrence is resolved
to the scope that binds it. What renames is built on `Occurrence.rename`, which knows the node.
Annotations are not looked at: they are stripped before.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
ComprehensionNode = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(eq=False)
class Scope:
    """A module, class, function or comprehension. `depth` counts the functions around its names."""

    node: ast.AST
    parent: "Scope | None"
    depth: int
    bound: set[str] = field(default_factory=set)
    declared_global: set[str] = field(default_factory=set)
    declared_nonlocal: set[str] = field(default_factory=set)

    @property
    def is_class(self) -> bool:
        """A class body: its names are not visible from the functions in it."""
        return isinstance(self.node, ast.ClassDef)

    @property
    def is_comprehension(self) -> bool:
        """A comprehension: a walrus in it binds outside."""
        return isinstance(self.node, ComprehensionNode)

    @property
    def module(self) -> "Scope":
        """The outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def owner_of(self, name: str) -> "Scope | None":
        """The scope whose variable `name` means here; None for builtins and unknown names."""
        if name in self.declared_global:
            return self.module
        if name in self.bound:
            return self
        scope = self.parent
        while scope is not None:
            if scope.parent is None and name in scope.bound:
                return scope
            if not scope.is_class and scope.parent is not None:
                if name in scope.declared_global:
                    return scope.module
                if name in scope.bound:
                    return scope
            scope = scope.parent
        return None


class Variable(NamedTuple):
    """What a name means: a variable of the scope that owns it; no owner for builtins and unknown names."""

    owner: Scope | None
    name: str


@dataclass(eq=False)
class Occurrence:
    """One place where a name is written. `binder` is the statement that binds it there, None for a use."""

    name: str
    scope: Scope
    node: ast.AST
    rename: Callable[[str], None]
    binder: ast.AST | None = None

    @cached_property
    def variable(self) -> Variable:
        """The variable that is meant. To be asked only when the whole module has been walked."""
        return Variable(self.scope.owner_of(self.name), self.name)


def occurrences_of(tree: ast.Module) -> list[Occurrence]:
    """All names of a module, in an order that does not depend on how they are spelt."""
    collector = _Collector(tree)
    return collector.occurrences


class _Collector:
    def __init__(self, tree: ast.Module) -> None:
        self.occurrences: list[Occurrence] = []
        self._scope = Scope(tree, None, 0)
        self._visit_all(tree.body)

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self._visit(node)

    def _visit(self, node: ast.AST) -> None:
        visit = _VISITS.get(type(node))
        if visit is None:
            self._visit_all(ast.iter_child_nodes(node))
        else:
            visit(self, node)

    # --- where names are written -----------------------------------------------------------------

    def _note(
        self, node: ast.AST, attribute: str, binder: ast.AST | None, scope: Scope | None = None
    ) -> None:
        name = getattr(node, attribute)
        scope = scope or self._scope
        if binder is not None and name not in scope.declared_global and name not in scope.declared_nonlocal:
            scope.bound.add(name)
        elif binder is not None and name in scope.declared_global:
            scope.module.bound.add(name)
        rename = _renamer(node, attribute)
        self.occurrences.append(Occurrence(name, scope, node, rename, binder))

    def _name(self, node: ast.Name) -> None:
        self._note(node, "id", None if isinstance(node.ctx, ast.Load) else node)

    def _walrus(self, node: ast.NamedExpr) -> None:
        self._visit(node.value)
        scope = self._scope
        while scope.is_comprehension and scope.parent is not None:
            scope = scope.parent
        self._note(node.target, "id", node, scope)

    def _global(self, node: ast.Global) -> None:
        self._declare(node, self._scope.declared_global)

    def _nonlocal(self, node: ast.Nonlocal) -> None:
        self._declare(node, self._scope.declared_nonlocal)

    def _declare(self, node: ast.Global | ast.Nonlocal, declared: set[str]) -> None:
        declared.update(node.names)
        for index, name in enumerate(node.names):
            self.occurrences.append(Occurrence(name, self._scope, node, _list_renamer(node.names, index)))

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            attribute = "asname" if alias.asname else "name"
            self._bind_import(alias, (alias.asname or alias.name.split(".")[0]), attribute, node)

    def _import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                self._bind_import(alias, alias.asname or alias.name, "asname", node)

    def _bind_import(self, alias: ast.alias, name: str, attribute: str, binder: ast.AST) -> None:
        scope = self._scope.module if name in self._scope.declared_global else self._scope
        scope.bound.add(name)
        self.occurrences.append(Occurrence(name, self._scope, alias, _renamer(alias, attribute), binder))

    def _handler(self, node: ast.ExceptHandler) -> None:
        self._visit_all([node.type])
        if node.name:
            self._note(node, "name", node)
        self._visit_all(node.body)

    def _match_as(self, node: ast.MatchAs) -> None:
        self._visit_all([node.pattern])
        if node.name:
            self._note(node, "name", node)

    def _match_star(self, node: ast.MatchStar) -> None:
        if node.name:
            self._note(node, "name", node)

    def _match_mapping(self, node: ast.MatchMapping) -> None:
        self._visit_all([*node.keys, *node.patterns])
        if node.rest:
            self._note(node, "rest", node)

    # --- scopes ----------------------------------------------------------------------------------

    def _function_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self._note(node, "name", node)
        self._function(node, node.body)

    def _lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def _function(self, node: FunctionNode, body: Iterable[ast.AST]) -> None:
        arguments = node.args
        self._visit_all([*arguments.defaults, *arguments.kw_defaults])
        outside = self._enter(node)
        for argument in parameters_of(node):
            self._note(argument, "arg", argument)
        self._visit_all(body)
        self._scope = outside

    def _class(self, node: ast.ClassDef) -> None:
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self._note(node, "name", node)
        outside = self._enter(node)
        self._visit_all(node.body)
        self._scope = outside

    def _comprehension(self, node: ComprehensionNode) -> None:
        first = node.generators[0]
        self._visit(first.iter)
        outside = self._enter(node)
        for generator in node.generators:
            self._visit_all(
                [generator.target, None if generator is first else generator.iter, *generator.ifs]
            )
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._visit_all(results)
        self._scope = outside

    def _enter(self, node: ast.AST) -> Scope:
        outside = self._scope
        self._scope = Scope(node, outside, outside.depth + (not isinstance(node, ast.ClassDef)))
        return outside


_VISITS: dict[type[ast.AST], Callable[[_Collector, Any], None]] = {
    ast.Name: _Collector._name,
    ast.NamedExpr: _Collector._walrus,
    ast.Global: _Collector._global,
    ast.Nonlocal: _Collector._nonlocal,
    ast.Import: _Collector._import,
    ast.ImportFrom: _Collector._import_from,
    ast.ExceptHandler: _Collector._handler,
    ast.MatchAs: _Collector._match_as,
    ast.MatchStar: _Collector._match_star,
    ast.MatchMapping: _Collector._match_mapping,
    ast.FunctionDef: _Collector._function_definition,
    ast.AsyncFunctionDef: _Collector._function_definition,
    ast.Lambda: _Collector._lambda,
    ast.ClassDef: _Collector._class,
    ast.ListComp: _Collector._comprehension,
    ast.SetComp: _Collector._comprehension,
    ast.DictComp: _Collector._comprehension,
    ast.GeneratorExp: _Collector._comprehension,
}


def parameters_of(node: FunctionNode) -> Iterator[ast.arg]:
    """All parameters of a function, in the order in which they are written."""
    arguments = node.args
    yield from (*arguments.posonlyargs, *arguments.args)
    if arguments.vararg:
        yield arguments.vararg
    yield from arguments.kwonlyargs
    if arguments.kwarg:
        yield arguments.kwarg


def _renamer(node: ast.AST, attribute: str) -> Callable[[str], None]:
    return lambda name: setattr(node, attribute, name)


def _list_renamer(names: list[str], index: int) -> Callable[[str], None]:
    def rename(name: str) -> None:
        names[index] = name

    return rename
