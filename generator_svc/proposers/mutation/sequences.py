"""Places in a row of modules: arguments of `nn.Sequential(...)`, items of a list, `layers.append(...)`.

Gives each such place the same three moves (insert after it, remove it, look at the next one), so that
operators need not know how the row is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from generator_svc.proposers.mutation.subject import Replacement, Subject, dotted_name

Edits = dict[cst.CSTNode, Replacement]


@dataclass(frozen=True)
class Place:
    """One module in a row. `items` are the nodes of the row, `index` is this one's position."""

    row: cst.Call | cst.List | cst.IndentedBlock
    items: Sequence[cst.Arg | cst.BaseElement | cst.BaseStatement]
    index: int

    def insert_after(self, expressions: Sequence[cst.BaseExpression]) -> Edits:
        """Put modules after this one."""
        if isinstance(self.row, cst.IndentedBlock):
            statement = self.items[self.index]
            assert isinstance(statement, cst.SimpleStatementLine)
            copies = [_append_statement(statement, expression) for expression in expressions]
            return {statement: [statement, *copies]}
        items: list[cst.CSTNode] = list(self.items)
        for offset, expression in enumerate(expressions):
            items = _inserted(items, self.index + offset, expression)
        return {self.row: _with_items(self.row, items)}

    def remove(self) -> Edits:
        """Take this module out."""
        if isinstance(self.row, cst.IndentedBlock):
            return {self.items[self.index]: None} if len(self.items) > 1 else {}
        return (
            {self.row: _with_items(self.row, _removed(list(self.items), self.index))}
            if len(self.items) > 1
            else {}
        )

    def module(self, offset: int = 0) -> cst.BaseExpression | None:
        """The expression of the module `offset` places further on; None at the end of the row."""
        at = self.index + offset
        if not 0 <= at < len(self.items):
            return None
        item = self.items[at]
        if isinstance(item, cst.Arg | cst.BaseElement):
            return item.value
        return _appended(item)


def place_of(subject: Subject, module: cst.BaseExpression) -> Place | None:
    """The place of a module expression; None where it is not written in a row."""
    around = subject.ancestors(module)
    parent, row = next(around, None), next(around, None)
    if isinstance(parent, cst.Arg) and isinstance(row, cst.Call):
        if dotted_name(row.func).rpartition(".")[2] == "Sequential":
            return Place(row, row.args, row.args.index(parent))
        return _append_place(subject, row)
    if isinstance(parent, cst.Element) and isinstance(row, cst.List):
        return Place(row, row.elements, row.elements.index(parent))
    return None


def _append_place(subject: Subject, call: cst.Call) -> Place | None:
    if not (
        isinstance(call.func, cst.Attribute) and call.func.attr.value == "append" and len(call.args) == 1
    ):
        return None
    line = subject.enclosing(call, cst.SimpleStatementLine)
    block = subject.enclosing(call, cst.IndentedBlock)
    if line is None or block is None or _appended(line) is not call.args[0].value or line not in block.body:
        return None
    return Place(block, block.body, list(block.body).index(line))


def _appended(statement: cst.CSTNode) -> cst.BaseExpression | None:
    """`m` of the statement `layers.append(m)`."""
    if not (isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1):
        return None
    expression = statement.body[0]
    if not (isinstance(expression, cst.Expr) and isinstance(expression.value, cst.Call)):
        return None
    call = expression.value
    is_append = (
        isinstance(call.func, cst.Attribute) and call.func.attr.value == "append" and len(call.args) == 1
    )
    return call.args[0].value if is_append else None


def _append_statement(
    statement: cst.SimpleStatementLine, module: cst.BaseExpression
) -> cst.SimpleStatementLine:
    expression = statement.body[0]
    assert isinstance(expression, cst.Expr)
    assert isinstance(expression.value, cst.Call)
    call = expression.value.with_changes(args=[cst.Arg(module)])
    return cst.SimpleStatementLine([cst.Expr(call)])


def _with_items(row: cst.Call | cst.List, items: Sequence[cst.CSTNode]) -> cst.BaseExpression:
    return row.with_changes(**{"args" if isinstance(row, cst.Call) else "elements": items})


def _inserted(items: list[cst.CSTNode], after: int, module: cst.BaseExpression) -> list[cst.CSTNode]:
    """A new item takes the line break of its neighbours, and the old last comma stays last."""
    commas = [item.comma for item in items]  # type: ignore[attr-defined]
    is_last = after == len(items) - 1
    pattern = commas[after - 1] if is_last and after > 0 else commas[after]
    if not isinstance(pattern, cst.Comma):
        pattern = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    created = cst.Arg(module) if isinstance(items[after], cst.Arg) else cst.Element(module)
    return _with_commas(
        [*items[: after + 1], created, *items[after + 1 :]],
        [*commas[:after], pattern.deep_clone(), *commas[after:]],
    )


def _removed(items: list[cst.CSTNode], at: int) -> list[cst.CSTNode]:
    commas = [item.comma for item in items]  # type: ignore[attr-defined]
    commas.pop(at - 1 if at == len(items) - 1 and at > 0 else at)
    return _with_commas([*items[:at], *items[at + 1 :]], commas)


def _with_commas(items: Sequence[cst.CSTNode], commas: Sequence[object]) -> list[cst.CSTNode]:
    return [item.with_changes(comma=comma) for item, comma in zip(items, commas, strict=True)]
