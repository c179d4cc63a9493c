"""Modules kept as attributes: `self.conv = nn.Conv2d(...)` and the one place where forward calls them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from generator_svc.proposers.mutation.calls import kind_of
from generator_svc.proposers.mutation.subject import Replacement, Subject, dotted_name
from generator_svc.shapes.journal import CallShapes
from generator_svc.shapes.layers import CONTAINERS, SIGNATURES

Edits = dict[cst.CSTNode, Replacement]
TRANSFORMING = {"Conv2d", "ConvTranspose2d", "Linear", "Sequential"}
"""Kinds of torch.nn that learn a mapping; every class of the source counts as one, too."""


@dataclass(frozen=True)
class AttributeModule:
    """A module attribute that forward calls exactly once."""

    name: str
    assignment: cst.SimpleStatementLine
    construction: cst.Call
    call: cst.Call
    step: cst.SimpleStatementLine
    """The statement of forward with the call: `variable = …`."""
    variable: str
    uses: int
    """How often the class writes `self.name`, the assignment included."""

    @property
    def transforms(self) -> bool:
        """Whether the module learns a mapping, rather than normalising, pooling or activating."""
        kind = kind_of(self.construction)
        return kind in TRANSFORMING or (kind not in SIGNATURES and kind not in CONTAINERS)


def attribute_modules(subject: Subject) -> Iterator[AttributeModule]:
    """Every module attribute with one call in a plain step of its class's forward."""
    for owner in subject.nodes(cst.ClassDef):
        methods = {node.name.value: node for node in owner.body.body if isinstance(node, cst.FunctionDef)}
        if not {"__init__", "forward"} <= methods.keys():
            continue
        uses = Counter(dotted_name(node) for node in subject.walk(owner) if isinstance(node, cst.Attribute))
        calls = _calls_by_name(subject, methods["forward"])
        for name, assignment, construction in _assignments(methods["__init__"]):
            called = calls.get(f"self.{name}", [])
            if len(called) != 1 or subject.span_of(construction) not in subject.journal.made:
                continue
            step = subject.enclosing(called[0], cst.SimpleStatementLine)
            variable = None if step is None else _assigned_name(step)
            if step is not None and variable is not None:
                count = uses[f"self.{name}"]
                yield AttributeModule(name, assignment, construction, called[0], step, variable, count)


def shapes_of(subject: Subject, node: cst.CSTNode) -> CallShapes:
    """The shapes through a call expression, over all probes."""
    shapes = CallShapes()
    for trace in subject.traces:
        shapes.passed.extend(trace.journal.calls.get(subject.span_of(node), CallShapes()).passed)
    return shapes


def statement(code: str) -> cst.SimpleStatementLine:
    """One line of code as a statement."""
    parsed = cst.parse_statement(code)
    assert isinstance(parsed, cst.SimpleStatementLine)
    return parsed


def fresh_name(subject: Subject, name: str) -> str:
    """A name that the source does not contain."""
    number = 2
    while f"{name}{number}" in subject.source:
        number += 1
    return f"{name}{number}"


def _assignments(constructor: cst.FunctionDef) -> Iterator[tuple[str, cst.SimpleStatementLine, cst.Call]]:
    """`self.name = Call(...)` among the constructor's own statements: not in a branch, not in a loop."""
    for line in constructor.body.body:
        if not (isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1):
            continue
        assign = line.body[0]
        if isinstance(assign, cst.Assign) and len(assign.targets) == 1 and isinstance(assign.value, cst.Call):
            owner, _, name = dotted_name(assign.targets[0].target).partition(".")
            if owner == "self" and name.isidentifier():
                yield name, line, assign.value


def _calls_by_name(subject: Subject, forward: cst.FunctionDef) -> dict[str, list[cst.Call]]:
    calls: dict[str, list[cst.Call]] = {}
    for node in subject.walk(forward):
        if isinstance(node, cst.Call):
            calls.setdefault(dotted_name(node.func), []).append(node)
    return calls


def _assigned_name(line: cst.SimpleStatementLine) -> str | None:
    assign = line.body[0] if len(line.body) == 1 else None
    if isinstance(assign, cst.Assign) and len(assign.targets) == 1:
        target = assign.targets[0].target
        return target.value if isinstance(target, cst.Name) else None
    return None
