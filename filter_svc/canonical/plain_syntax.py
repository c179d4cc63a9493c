"""Takes the wording out of a syntax tree: docstrings, annotations, `pass`, and f-string syntax."""

import ast
from collections.abc import Sequence
from typing import cast

FORMAT_CALL = "fstring"
"""An f-string becomes a call of this name, because `ast.unparse` cannot write every f-string."""


def strip_wording(tree: ast.Module) -> ast.Module:
    """The same module without what says nothing about the network. Changes the tree in place."""
    stripped = cast(ast.Module, _Stripper().visit(tree))
    stripped.type_ignores = []
    return stripped


class _Stripper(ast.NodeTransformer):
    def __init__(self) -> None:
        self._in_class_body = False

    def generic_visit(self, node: ast.AST) -> ast.AST:
        # In a class an annotation can be a field of a dataclass; elsewhere it is only a remark.
        outside, self._in_class_body = self._in_class_body, isinstance(node, ast.ClassDef)
        super().generic_visit(node)
        self._in_class_body = outside
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, _without_remarks(block, required=field == "body"))
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._in_class_body:
            return self.generic_visit(node)
        if node.value is None:
            # It still makes the name a local one, which matters to nobody who runs.
            return None
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        node.type_comment = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        node.type_comment = None
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        node.kind = None
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts = [cast(ast.expr, self.visit(value)) for value in node.values]
        return ast.Call(ast.Name(FORMAT_CALL, ast.Load()), parts, [])

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        spec = self.visit(node.format_spec) if node.format_spec else ast.Constant(None)
        value = cast(ast.expr, self.visit(node.value))
        return ast.Tuple([value, ast.Constant(node.conversion), spec], ast.Load())

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        node.type_comment = None
        return self.generic_visit(node)


def _without_remarks(block: Sequence[ast.stmt], *, required: bool) -> list[ast.stmt]:
    kept = [statement for statement in block if not _is_remark(statement)]
    return kept or ([ast.Pass()] if required else [])


def _is_remark(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and (isinstance(value.value, str) or value.value is Ellipsis)
