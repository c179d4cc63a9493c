"""Inserts squeeze-and-excitation (Hu et al., 2018) behind a convolution or a block."""

import random
from collections.abc import Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.calls import arguments_of, kind_of, layer_calls
from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.modules import (
    AttributeModule,
    Edits,
    attribute_modules,
    fresh_name,
    shapes_of,
    statement,
)
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.sequences import Place, place_of
from generator_svc.proposers.mutation.subject import Subject

_CLASS = """
class SqueezeExcite({nn}.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.gate = {nn}.Sequential(
            {nn}.AdaptiveAvgPool2d(1),
            {nn}.Conv2d(channels, hidden, kernel_size=1),
            {nn}.ReLU(),
            {nn}.Conv2d(hidden, channels, kernel_size=1),
            {nn}.Sigmoid(),
        )

    def forward(self, x):
        return x * self.gate(x)

"""


def attention_sites(subject: Subject) -> Sequence[Site]:
    """Convolutions in a row, and steps of forward whose result is a map of one known width."""
    sites: list[Site] = []
    for call in layer_calls(subject, "Conv2d", "BatchNorm2d"):
        place = place_of(subject, call)
        given = arguments_of(call)
        width = given.get("out_channels", given.get("num_features"))
        if place is not None and width is not None and not _is_in_gate(subject, call):
            sites.append(partial(_insert_in_row, subject, call, place, subject.code(width)))
    for module in attribute_modules(subject):
        width_code = _width_of_step(subject, module)
        if module.transforms and width_code is not None and not _is_in_gate(subject, module.call):
            sites.append(partial(_insert_step, subject, module, width_code))
    return sites


def _is_in_gate(subject: Subject, node: cst.CSTNode) -> bool:
    owner = subject.enclosing(node, cst.ClassDef)
    return owner is not None and owner.name.value == "SqueezeExcite"


def _width_of_step(subject: Subject, module: AttributeModule) -> str | None:
    """Code for the channels of the map that a step assigns."""
    assign = module.step.body[0]
    if not (isinstance(assign, cst.Assign) and isinstance(assign.value, cst.Call)):
        return None
    maps = {result[1] for _given, result in shapes_of(subject, assign.value).passed if len(result) == 4}
    if kind_of(module.construction) == "Conv2d" and maps:
        width = arguments_of(module.construction).get("out_channels")
        return None if width is None else subject.code(width)
    return str(int(maps.pop())) if len(maps) == 1 else None


def _insert_in_row(
    subject: Subject, call: cst.Call, place: Place, width: str, _rng: random.Random
) -> Change | None:
    added = cst.parse_expression(f"SqueezeExcite({width})")
    return _with_class(subject, place.insert_after([added]), label_of(subject, call))


def _insert_step(subject: Subject, module: AttributeModule, width: str, _rng: random.Random) -> Change | None:
    name = fresh_name(subject, f"{module.name}_gate")
    edits: Edits = {
        module.assignment: [module.assignment, statement(f"self.{name} = SqueezeExcite({width})")],
        module.step: [module.step, statement(f"{module.variable} = self.{name}({module.variable})")],
    }
    return _with_class(subject, edits, label_of(subject, module.construction))


def _with_class(subject: Subject, edits: Edits, where: str) -> Change | None:
    """The edits, and the class itself before the first class unless an earlier mutation brought it."""
    path = subject.library_path("torch.nn")
    if path is None:
        return None
    source = subject.rewrite(edits)
    if "class SqueezeExcite(" not in source:
        tree = cst.parse_module(source)
        definition = (
            cst.parse_module(_CLASS.format(nn=path))
            .body[0]
            .with_changes(leading_lines=[cst.EmptyLine(), cst.EmptyLine()])
        )
        at = next(
            (i for i, node in enumerate(tree.body) if isinstance(node, cst.ClassDef | cst.FunctionDef)), 0
        )
        source = tree.with_changes(body=[*tree.body[:at], definition, *tree.body[at:]]).code
    return Change(source, f"squeeze-and-excitation added in {where}")
