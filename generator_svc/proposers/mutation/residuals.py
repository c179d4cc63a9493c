"""Adds a residual connection around what keeps its shape: `x = self.m(x)` becomes `x = x + self.m(x)`."""

import random
from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.modules import AttributeModule, attribute_modules, shapes_of
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.subject import Subject


def residual_sites(subject: Subject) -> Sequence[Site]:
    """Calls around a module that learns, from a variable to something of the variable's shape."""
    sites: list[Site] = []
    for module in attribute_modules(subject):
        variable = module.call.args[0].value if len(module.call.args) == 1 else None
        if not module.transforms or not isinstance(variable, cst.Name):
            continue
        given = [shape for shape, _result in shapes_of(subject, module.call).passed]
        for call in _chain(subject, module):
            result = [shape for _given, shape in shapes_of(subject, call).passed]
            if given and given == result and not _is_added(subject, call):
                sites.append(partial(_connect, subject, module, call, variable))
    return sites


def _chain(subject: Subject, module: AttributeModule) -> Iterator[cst.Call]:
    """The module's call, and the calls that its result goes straight into: `norm(conv(x))`."""
    call = module.call
    yield call
    for above in subject.ancestors(call):
        if isinstance(above, cst.Call) and above.args and above.args[0].value is call:
            call = above
            yield call
        elif not isinstance(above, cst.Arg):
            return


def _is_added(subject: Subject, call: cst.Call) -> bool:
    parent = next(subject.ancestors(call), None)
    return isinstance(parent, cst.BinaryOperation)


def _connect(
    subject: Subject, module: AttributeModule, call: cst.Call, variable: cst.Name, _rng: random.Random
) -> Change:
    added = cst.BinaryOperation(cst.Name(variable.value), cst.Add(), call.deep_clone())
    return Change(
        subject.rewrite({call: added}), f"residual connection around {label_of(subject, module.construction)}"
    )
