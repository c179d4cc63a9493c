"""One way to name what is imported: `nn.Conv2d` and `Conv2d` both become `torch.nn.Conv2d`.

A name that a scope binds by imports of one thing alone is replaced, wherever it is used, by the full
path. The imports that remain are one sorted `import root` for each root in use, so that a missing
import still tells two sources apart. Star and relative imports stay as they are, but sorted.
"""

import ast
from collections import defaultdict
from collections.abc import Sequence

from filter_svc.canonical.scopes import Occurrence, Variable

MAX_WRITTEN_CHARACTERS = 128 * 1024
"""Where all paths together would be longer, imports are left alone: it is a hostile source."""

MARK = "!"
"""Ends the root of an imported path while names are still being changed, so that no variable can be
mistaken for it. No identifier contains it."""


def resolve_imports(tree: ast.Module, occurrences: Sequence[Occurrence]) -> None:
    """Replace imported names by full paths with marked roots, in place, and drop their imports."""
    paths = _import_paths(occurrences)
    uses: dict[ast.AST, str] = {}
    imports: set[ast.AST] = set()
    for occurrence in occurrences:
        path = paths.get(occurrence.variable)
        if path is not None and occurrence.binder is None:
            uses[occurrence.node] = path
        elif path is not None:
            imports.add(occurrence.node)
    if sum(map(len, uses.values())) <= MAX_WRITTEN_CHARACTERS:
        _Replacer(uses, imports).visit(tree)


def restore_imports(tree: ast.Module, nodes: Sequence[ast.AST]) -> None:
    """Unmark the roots and write the sorted imports that they need at the top."""
    marked = [node for node in nodes if isinstance(node, ast.Name) and node.id.endswith(MARK)]
    for node in marked:
        node.id = node.id.removesuffix(MARK)
    header: list[ast.stmt] = [ast.Import([ast.alias(root)]) for root in sorted({node.id for node in marked})]
    kept = [statement for statement in tree.body if isinstance(statement, ast.Import | ast.ImportFrom)]
    rest = [statement for statement in tree.body if not isinstance(statement, ast.Import | ast.ImportFrom)]
    tree.body = [*header, *sorted(kept, key=ast.unparse), *rest]


def imported_path(expression: ast.AST) -> str | None:
    """The full path that an expression names, if its root is imported: `torch.nn.Module`."""
    parts: list[str] = []
    while isinstance(expression, ast.Attribute):
        parts.append(expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name) or not expression.id.endswith(MARK):
        return None
    return ".".join([expression.id.removesuffix(MARK), *reversed(parts)])


def _import_paths(occurrences: Sequence[Occurrence]) -> dict[Variable, str]:
    """The full path of each variable that nothing but imports of that one path ever binds."""
    bound_to: dict[Variable, set[str | None]] = defaultdict(set)
    for occurrence in occurrences:
        if occurrence.binder is not None:
            bound_to[occurrence.variable].add(_path(occurrence))
    paths: dict[Variable, str] = {}
    for variable, found in bound_to.items():
        path = found.pop()
        if path is not None and not found:
            paths[variable] = path
    return paths


def _path(occurrence: Occurrence) -> str | None:
    """What an import in the body of its own scope binds; None where that is not plain."""
    binder, alias = occurrence.binder, occurrence.node
    body = getattr(occurrence.scope.node, "body", None)
    plain = isinstance(body, list) and binder in body and occurrence.variable.owner is occurrence.scope
    if not isinstance(alias, ast.alias) or not plain:
        return None
    if isinstance(binder, ast.ImportFrom):
        path = None if binder.level else f"{binder.module}.{alias.name}"
    else:
        path = alias.name if alias.asname else alias.name.split(".")[0]
    return path


class _Replacer(ast.NodeTransformer):
    def __init__(self, uses: dict[ast.AST, str], imports: set[ast.AST]) -> None:
        self._uses = uses
        self._imports = imports

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        path = self._uses.get(node)
        if path is None:
            return node
        root, *rest = path.split(".")
        expression: ast.expr = ast.Name(root + MARK, ast.Load())
        for part in rest:
            expression = ast.Attribute(expression, part, ast.Load())
        return expression

    def visit_Import(self, node: ast.Import) -> ast.Import | None:
        node.names = [alias for alias in node.names if alias not in self._imports]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        node.names = [alias for alias in node.names if alias not in self._imports]
        return node if node.names else None
