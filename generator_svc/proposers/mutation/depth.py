"""Makes a network deeper or shallower: repeat counts, inserted blocks, removed blocks."""

import random
from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.activations import MODULES as ACTIVATIONS
from generator_svc.proposers.mutation.calls import (
    arguments_of,
    joined_arguments,
    kind_of,
    layer_calls,
    with_arguments,
)
from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.literals import literals_with
from generator_svc.proposers.mutation.modules import (
    AttributeModule,
    Edits,
    attribute_modules,
    fresh_name,
    shapes_of,
    statement,
)
from generator_svc.proposers.mutation.normalisation import NORMALISATIONS
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.propagation import number_change
from generator_svc.proposers.mutation.sequences import Place, place_of
from generator_svc.proposers.mutation.subject import Subject
from generator_svc.shapes import Span

MAX_REPEATS = 12
_COMPANIONS = {*ACTIVATIONS, *NORMALISATIONS, "Dropout", "Dropout2d"}
"""Modules that belong to the convolution before them."""


def repeat_sites(subject: Subject) -> Sequence[Site]:
    """Numbers that say how often a loop builds something."""
    return [
        partial(_repeat, subject, span, number)
        for span, number, direct in literals_with(subject, "depth", {"depth"})
        if direct and 1 <= number <= MAX_REPEATS
    ]


def _repeat(subject: Subject, span: Span, number: int, rng: random.Random) -> Change | None:
    wanted = rng.choice([n for n in (number - 1, number + 1, number + 1) if n >= 1])
    return number_change(subject, span, wanted, "repeats")


def insertion_sites(subject: Subject) -> Sequence[Site]:
    """Convolutions in a row, and attributes that forward calls in a step of its own."""
    in_rows = [
        partial(_insert_in_row, subject, call, place)
        for call in layer_calls(subject, "Conv2d")
        if (place := place_of(subject, call)) is not None
        and "groups" not in arguments_of(call)
        and "out_channels" in arguments_of(call)
    ]
    as_steps = [
        partial(_insert_step, subject, module)
        for module in attribute_modules(subject)
        if module.transforms and kind_of(module.construction) not in {"Sequential", "Linear"}
    ]
    return [*in_rows, *as_steps]


def _insert_in_row(subject: Subject, call: cst.Call, place: Place, _rng: random.Random) -> Change:
    """Another convolution of the same width behind this one and its companions, with copies of them."""
    companions = list(_companions(place))
    added = [_same_width(subject, call), *(module.deep_clone() for module in companions)]
    after = Place(place.row, place.items, place.index + len(companions))
    return Change(
        subject.rewrite(after.insert_after(added)), f"convolution inserted in {label_of(subject, call)}"
    )


def _companions(place: Place) -> Iterator[cst.BaseExpression]:
    offset = 1
    while isinstance(module := place.module(offset), cst.Call) and kind_of(module) in _COMPANIONS:
        yield module
        offset += 1


def _same_width(subject: Subject, call: cst.Call) -> cst.Call:
    """A 3×3 convolution that keeps the shape that `call` produces."""
    width = subject.code(arguments_of(call)["out_channels"])
    changes = {"in_channels": width, "kernel_size": "3", "padding": "1", "stride": None, "dilation": None}
    return with_arguments(call, changes)


def _insert_step(subject: Subject, module: AttributeModule, rng: random.Random) -> Change | None:
    construction = _repeated(subject, module)
    if construction is None:
        return None
    name = fresh_name(subject, f"{module.name}_more")
    residual = rng.random() < 0.5
    call = f"self.{name}({module.variable})"
    step = f"{module.variable} = {module.variable} + {call}" if residual else f"{module.variable} = {call}"
    edits: Edits = {
        module.assignment: [module.assignment, statement(f"self.{name} = {construction}")],
        module.step: [module.step, statement(step)],
    }
    kind = "residual block" if residual else "block"
    return Change(subject.rewrite(edits), f"{kind} inserted after {label_of(subject, module.construction)}")


def _repeated(subject: Subject, module: AttributeModule) -> str | None:
    """Code that constructs a module like this one, from its output width to its output width."""
    construction = module.construction
    if kind_of(construction) == "Conv2d":
        given = arguments_of(construction)
        path = subject.library_path("torch.nn")
        if "groups" in given or "out_channels" not in given or path is None:
            return None
        width = subject.code(given["out_channels"])
        convolution = subject.code(_same_width(subject, construction))
        return f"{path}.Sequential({convolution}, {path}.BatchNorm2d({width}), {path}.ReLU())"
    if shapes_of(subject, module.call).keeps_shape:
        return subject.code(construction)
    arguments = list(construction.args)
    if len(arguments) < 2 or any(argument.keyword is not None for argument in arguments[:2]):
        return None
    kept = [argument for argument in arguments[1:] if _keyword(argument) != "stride"]
    return subject.code(construction.with_changes(args=joined_arguments([arguments[1], *kept])))


def _keyword(argument: cst.Arg) -> str:
    return "" if argument.keyword is None else argument.keyword.value


def removal_sites(subject: Subject) -> Sequence[Site]:
    """Modules that keep the shape of what goes through them: in a row, or called by forward."""
    in_rows: list[Site] = []
    for call in subject.nodes(cst.Call):
        shapes = subject.journal.applications.get(subject.span_of(call))
        place = place_of(subject, call)
        if place is not None and shapes and shapes.keeps_shape and kind_of(call) not in _COMPANIONS:
            in_rows.append(partial(_remove_from_row, subject, call, place))
    as_steps = [
        partial(_remove_step, subject, module)
        for module in attribute_modules(subject)
        if module.transforms and module.uses == 2 and shapes_of(subject, module.call).keeps_shape
    ]
    return [*in_rows, *as_steps]


def _remove_from_row(subject: Subject, call: cst.Call, place: Place, _rng: random.Random) -> Change | None:
    edits = place.remove()
    summary = f"{kind_of(call)} removed from {label_of(subject, call)}"
    return Change(subject.rewrite(edits), summary) if edits else None


def _remove_step(subject: Subject, module: AttributeModule, _rng: random.Random) -> Change | None:
    if len(module.call.args) != 1:
        return None
    label = label_of(subject, module.construction)
    edits: Edits = {module.assignment: None, module.call: module.call.args[0].value}
    if subject.code(module.step) == f"{module.variable} = self.{module.name}({module.variable})":
        edits = {module.assignment: None, module.step: None}
    return Change(subject.rewrite(edits), f"{label} removed")
