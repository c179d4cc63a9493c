"""Changes, adds and removes dropout."""

import random
from collections.abc import Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.activations import MODULES
from generator_svc.proposers.mutation.calls import kind_of, layer_calls
from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.sequences import Place, place_of
from generator_svc.proposers.mutation.subject import Subject, dotted_name

RATES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
SMALL_RATES = (0.05, 0.1, 0.15, 0.2)


def rate_sites(subject: Subject) -> Sequence[Site]:
    """Dropout rates written as numbers."""
    journal = subject.journal
    return [
        partial(_change_rate, subject, node)
        for span in sorted(journal.literals)
        if "rate" in journal.roles.get(span, ())
        and span in journal.direct
        and isinstance(node := subject.expression_at(span), cst.Float)
    ]


def _change_rate(subject: Subject, node: cst.Float, rng: random.Random) -> Change:
    rate = rng.choice([rate for rate in RATES if rate != float(node.value)])
    return Change(
        subject.rewrite({node: cst.Float(str(rate))}),
        f"dropout rate of {label_of(subject, node)} {node.value} → {rate}",
    )


def dropout_sites(subject: Subject) -> Sequence[Site]:
    """Activations in a row, dropouts in a row, and the inputs of the last linear layer."""
    sites: list[Site] = []
    for call in layer_calls(subject, *MODULES):
        place = place_of(subject, call)
        if place is not None and not _is_dropout(place.module(1)):
            sites.append(partial(_insert, subject, call, place))
    for call in layer_calls(subject, "Dropout", "Dropout2d"):
        place = place_of(subject, call)
        if place is not None:
            sites.append(partial(_remove, subject, call, place))
    sites += [partial(_wrap_input, subject, call) for call in _head_calls(subject)]
    return sites


def _is_dropout(module: cst.BaseExpression | None) -> bool:
    return isinstance(module, cst.Call) and "Dropout" in kind_of(module)


def _insert(subject: Subject, call: cst.Call, place: Place, rng: random.Random) -> Change:
    shapes = subject.journal.applications.get(subject.span_of(call))
    is_map = shapes is not None and all(len(result) == 4 for _given, result in shapes.passed)
    kind, rate = "Dropout2d" if is_map else "Dropout", rng.choice(SMALL_RATES)
    owner = subject.code(call.func).removesuffix(kind_of(call))
    added = cst.parse_expression(f"{owner}{kind}({rate})")
    return Change(
        subject.rewrite(place.insert_after([added])), f"{kind}({rate}) added in {label_of(subject, call)}"
    )


def _remove(subject: Subject, call: cst.Call, place: Place, _rng: random.Random) -> Change | None:
    edits = place.remove()
    return (
        Change(subject.rewrite(edits), f"dropout removed from {label_of(subject, call)}") if edits else None
    )


def _head_calls(subject: Subject) -> list[cst.Call]:
    """Calls `self.head(x)` that turn features (batch, n) into another number of features."""
    journal = subject.journal
    found = []
    for node in subject.nodes(cst.Call):
        shapes = journal.calls.get(subject.span_of(node))
        flat = shapes and all(len(given) == len(result) == 2 for given, result in shapes.passed)
        if flat and shapes and not shapes.keeps_shape and dotted_name(node.func).startswith("self."):
            found.append(node)
    return [node for node in found if len(node.args) == 1 and "dropout" not in subject.code(node.args[0])]


def _wrap_input(subject: Subject, call: cst.Call, rng: random.Random) -> Change | None:
    path = subject.library_path("torch.nn.functional")
    if path is None:
        return None
    rate = rng.choice(RATES)
    argument = call.args[0]
    wrapped = cst.parse_expression(
        f"{path}.dropout({subject.code(argument.value)}, p={rate}, training=self.training)"
    )
    return Change(
        subject.rewrite({argument: argument.with_changes(value=wrapped)}),
        f"dropout({rate}) before {dotted_name(call.func).removeprefix('self.')}",
    )
