"""Swaps maximum and average pooling, resizes adaptive pooling, replaces pooling by a strided convolution."""

import random
from collections.abc import Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.calls import arguments_of, keyword_argument, kind_of, layer_calls
from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.literals import literals_with
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.propagation import number_change
from generator_svc.proposers.mutation.subject import Subject
from generator_svc.shapes import Span

_PARTNERS = {
    "MaxPool2d": "AvgPool2d",
    "AvgPool2d": "MaxPool2d",
    "AdaptiveAvgPool2d": "AdaptiveMaxPool2d",
    "AdaptiveMaxPool2d": "AdaptiveAvgPool2d",
    "max_pool2d": "avg_pool2d",
    "avg_pool2d": "max_pool2d",
    "adaptive_avg_pool2d": "adaptive_max_pool2d",
    "adaptive_max_pool2d": "adaptive_avg_pool2d",
}
_SHARED = {"kernel_size", "stride", "padding", "ceil_mode", "output_size"}
MAX_POOLED_SIDE = 8


def pooling_sites(subject: Subject) -> Sequence[Site]:
    """Pooling layers and calls, global averages, and sizes of adaptive pooling."""
    sites: list[Site] = []
    for node in subject.nodes(cst.Attribute):
        parent = next(subject.ancestors(node), None)
        called = isinstance(parent, cst.Call) and parent.func is node
        if called and isinstance(parent, cst.Call) and node.attr.value in _PARTNERS:
            sites.append(partial(_swap, subject, parent, node))
        elif called and isinstance(parent, cst.Call) and _is_global_average(subject, parent, node):
            sites.append(partial(_global_maximum, subject, node))
    for span, number, direct in literals_with(subject, "pool size", {"pool size"}):
        if direct:
            sites.append(partial(_resize, subject, span, number))
    sites += [
        partial(_stride_instead, subject, call) for call in layer_calls(subject, "MaxPool2d", "AvgPool2d")
    ]
    return sites


def _swap(subject: Subject, call: cst.Call, name: cst.Attribute, _rng: random.Random) -> Change | None:
    old, new = name.attr.value, _PARTNERS[name.attr.value]
    if old[0].isupper() and not arguments_of(call).keys() <= _SHARED:
        return None
    renamed = name.with_changes(attr=cst.Name(new))
    return Change(subject.rewrite({name: renamed}), f"{old} → {new} in {label_of(subject, call)}")


def _is_global_average(subject: Subject, call: cst.Call, name: cst.Attribute) -> bool:
    """`x.mean(dim=(2, 3))` on a map."""
    words = "".join(subject.code(argument) for argument in call.args).replace(" ", "").removeprefix("dim=")
    return name.attr.value == "mean" and words in {"(2,3)", "[2,3]", "(-2,-1)", "(-1,-2)", "[-2,-1]"}


def _global_maximum(subject: Subject, name: cst.Attribute, _rng: random.Random) -> Change:
    renamed = name.with_changes(attr=cst.Name("amax"))
    return Change(subject.rewrite({name: renamed}), f"global mean → maximum in {label_of(subject, name)}")


def _resize(subject: Subject, span: Span, number: int, rng: random.Random) -> Change | None:
    choices = [n for n in (number - 1, number + 1, number * 2) if 1 <= n <= MAX_POOLED_SIDE and n != number]
    return number_change(subject, span, rng.choice(choices), "pooled size") if choices else None


def _stride_instead(subject: Subject, call: cst.Call, _rng: random.Random) -> Change | None:
    """A pooling without overlap becomes a convolution of the same window, where one width is known."""
    journal = subject.journal
    shapes = journal.applications.get(subject.span_of(call))
    channels = {given[1] for given, _result in shapes.passed if len(given) == 4} if shapes else set()
    given = arguments_of(call)
    if len(channels) != 1 or "kernel_size" not in given or not given.keys() <= {"kernel_size", "stride"}:
        return None
    width = str(int(channels.pop()))
    window = subject.code(given["kernel_size"])
    stride = subject.code(given.get("stride", given["kernel_size"]))
    owner = subject.code(call.func).removesuffix(kind_of(call))
    convolution = cst.Call(
        cst.parse_expression(f"{owner}Conv2d"),
        [
            cst.Arg(cst.Integer(width)),
            cst.Arg(cst.Integer(width)),
            keyword_argument("kernel_size", window),
            keyword_argument("stride", stride),
        ],
    )
    return Change(
        subject.rewrite({call: convolution}),
        f"{kind_of(call)} → strided convolution in {label_of(subject, call)}",
    )
