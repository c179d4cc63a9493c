"""Calls that construct modules: their arguments by parameter name, and copies with other arguments."""

from collections.abc import Iterator, Mapping

import libcst as cst

from generator_svc.proposers.mutation.subject import Subject, dotted_name
from generator_svc.shapes.journal import Journal
from generator_svc.shapes.layers import parameters_of
from generator_svc.shapes.values import Layer


def layer_calls(subject: Subject, *kinds: str) -> Iterator[cst.Call]:
    """Calls such as `nn.Conv2d(...)` of these kinds that the symbolic run constructed something with."""
    journal = subject.journal
    for node in subject.nodes(cst.Call):
        kind = dotted_name(node.func).rpartition(".")[2]
        if (
            kind in kinds
            and subject.span_of(node) in journal.modules
            and "*" not in {a.star for a in node.args}
        ):
            yield node


def kind_of(call: cst.Call) -> str:
    """`Conv2d` of `nn.Conv2d(...)`."""
    return dotted_name(call.func).rpartition(".")[2]


def arguments_of(call: cst.Call) -> dict[str, cst.BaseExpression]:
    """The written arguments by parameter name."""
    names = list(parameters_of(kind_of(call)))
    bound: dict[str, cst.BaseExpression] = {}
    for position, argument in enumerate(call.args):
        if argument.keyword is not None:
            bound[argument.keyword.value] = argument.value
        elif position < len(names):
            bound[names[position]] = argument.value
    return bound


def layers_made(journal: Journal, subject: Subject, call: cst.Call) -> list[Layer]:
    """The layers that a call constructed in the symbolic run."""
    return [made for made in journal.modules.get(subject.span_of(call), []) if isinstance(made, Layer)]


def with_arguments(call: cst.Call, changes: Mapping[str, str | None]) -> cst.Call:
    """The call with arguments set by name, or removed where the value is None; the rest as written."""
    names = list(parameters_of(kind_of(call)))
    pending = dict(changes)
    kept: list[cst.Arg] = []
    for position, argument in enumerate(call.args):
        name = argument.keyword.value if argument.keyword is not None else names[position]
        if name not in pending:
            kept.append(argument)
            continue
        text = pending.pop(name)
        if text is not None:
            kept.append(argument.with_changes(value=cst.parse_expression(text)))
    added = [keyword_argument(name, text) for name, text in pending.items() if text is not None]
    return call.with_changes(args=joined_arguments([*kept, *added]))


def keyword_argument(name: str, text: str) -> cst.Arg:
    """`name=text`, as it is written in a call."""
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(cst.parse_expression(text), keyword=cst.Name(name), equal=tight)


def joined_arguments(arguments: list[cst.Arg]) -> list[cst.Arg]:
    """Arguments with a comma between any two; commas that are there keep their line breaks."""
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    joined = [
        argument if isinstance(argument.comma, cst.Comma) else argument.with_changes(comma=comma.deep_clone())
        for argument in arguments[:-1]
    ]
    if not arguments:
        return []
    last = arguments[-1]
    keeps_break = isinstance(last.comma, cst.Comma) and not isinstance(
        last.comma.whitespace_after, cst.SimpleWhitespace
    )
    return [*joined, last if keeps_break else last.with_changes(comma=cst.MaybeSentinel.DEFAULT)]


def integer_value(node: cst.BaseExpression | None) -> int | None:
    """The value of an integer literal; None for anything else."""
    if isinstance(node, cst.Integer) and len(node.value) <= 9:
        return int(node.value, 0)
    return None
