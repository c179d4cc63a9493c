"""Changes kernels, strides, dilation and grouping of convolutions; splits one into depthwise and pointwise.

Padding follows the kernel, so that a map keeps its size unless the stride changes.
"""

import random
from collections.abc import Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.calls import (
    arguments_of,
    integer_value,
    joined_arguments,
    keyword_argument,
    layer_calls,
    layers_made,
    with_arguments,
)
from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.literals import literals_with
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.propagation import number_change
from generator_svc.proposers.mutation.subject import Subject
from generator_svc.shapes import Span

KERNELS = (1, 3, 5, 7)
MIN_MAP = 4
"""A stride or dilation is added only where the smaller probe's map keeps this many positions a side."""


def kernel_sites(subject: Subject) -> Sequence[Site]:
    """Kernels written in a call next to their padding, and numbers that set both."""
    in_calls = [
        partial(_resize_kernel, subject, call)
        for call in layer_calls(subject, "Conv2d")
        if integer_value(arguments_of(call).get("kernel_size")) is not None
    ]
    shared: list[Site] = [
        partial(_resize_shared_kernel, subject, span, number)
        for span, number, direct in literals_with(subject, "kernel_size", {"kernel_size", "padding"})
        if direct and "padding" in subject.journal.roles[span] and number % 2
    ]
    return [*in_calls, *shared]


def _resize_shared_kernel(subject: Subject, span: Span, number: int, rng: random.Random) -> Change | None:
    wanted = rng.choice([kernel for kernel in KERNELS if kernel != number])
    return number_change(subject, span, wanted, "kernel")


def _resize_kernel(subject: Subject, call: cst.Call, rng: random.Random) -> Change | None:
    given = arguments_of(call)
    old = integer_value(given.get("kernel_size"))
    padding = integer_value(given.get("padding", cst.Integer("0")))
    dilation = integer_value(given.get("dilation", cst.Integer("1")))
    if old is None or padding is None or dilation is None:
        return None
    choices = [
        kernel
        for kernel in KERNELS
        if kernel != old and (kernel - old) % 2 == 0 and padding + (kernel - old) // 2 * dilation >= 0
    ]
    if not choices:
        return None
    kernel = rng.choice(choices)
    wanted = padding + (kernel - old) // 2 * dilation
    changes = {"kernel_size": str(kernel), "padding": str(wanted) if wanted or "padding" in given else None}
    return Change(
        subject.rewrite({call: with_arguments(call, changes)}),
        f"kernel of {label_of(subject, call)} {old} → {kernel}",
    )


def stride_sites(subject: Subject) -> Sequence[Site]:
    """Strides that are written, and convolutions over maps large enough for one."""
    journal = subject.journal
    written: list[Site] = [
        partial(_change_stride, subject, span, number)
        for span, number, direct in literals_with(subject, "stride", {"stride"})
        if direct and number in {1, 2}
    ]
    added: list[Site] = []
    for call in layer_calls(subject, "Conv2d"):
        shapes = journal.applications.get(subject.span_of(call))
        if "stride" not in arguments_of(call) and shapes and _smallest_side(shapes.passed) >= 2 * MIN_MAP:
            added.append(partial(_add_stride, subject, call))
    return [*written, *added]


def _smallest_side(passed: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> int:
    return min(min(result[2:], default=0) for _given, result in passed)


def _change_stride(subject: Subject, span: Span, number: int, _rng: random.Random) -> Change | None:
    return number_change(subject, span, 3 - number, "stride")


def _add_stride(subject: Subject, call: cst.Call, _rng: random.Random) -> Change:
    changed = with_arguments(call, {"stride": "2"})
    return Change(subject.rewrite({call: changed}), f"stride 2 in {label_of(subject, call)}")


def dilation_sites(subject: Subject) -> Sequence[Site]:
    """Convolutions with an odd kernel and written padding, over a map larger than the dilated window."""
    journal = subject.journal
    sites: list[Site] = []
    for call in layer_calls(subject, "Conv2d"):
        given = arguments_of(call)
        kernel, padding = integer_value(given.get("kernel_size")), integer_value(given.get("padding"))
        shapes = journal.applications.get(subject.span_of(call))
        if kernel is None or padding is None or kernel < 3 or kernel % 2 == 0 or "dilation" in given:
            continue
        if shapes and _smallest_side(shapes.passed) >= max(MIN_MAP, 2 * kernel - 1):
            sites.append(partial(_dilate, subject, call, kernel, padding))
    return sites


def _dilate(subject: Subject, call: cst.Call, kernel: int, padding: int, _rng: random.Random) -> Change:
    changed = with_arguments(call, {"padding": str(padding + (kernel - 1) // 2), "dilation": "2"})
    return Change(subject.rewrite({call: changed}), f"dilation 2 in {label_of(subject, call)}")


def grouping_sites(subject: Subject) -> Sequence[Site]:
    """Convolutions whose channels divide into groups, or that can be split into depthwise and pointwise."""
    sites: list[Site] = []
    for call in layer_calls(subject, "Conv2d"):
        given = arguments_of(call)
        if "groups" in given or not {"in_channels", "out_channels", "kernel_size"} <= given.keys():
            continue
        made = [layer for trace in subject.traces for layer in layers_made(trace.journal, subject, call)]
        groups = [
            count
            for count in (2, 4, 8)
            if all(
                layer.arguments[side] % count == 0
                for layer in made
                for side in ("in_channels", "out_channels")
            )
        ]
        if groups:
            sites.append(partial(_group, subject, call, groups))
            if all(layer.arguments["kernel_size"] != 1 for layer in made):
                sites.append(partial(_separate, subject, call))
    return sites


def _group(subject: Subject, call: cst.Call, groups: Sequence[int], rng: random.Random) -> Change:
    count = rng.choice(groups)
    changed = with_arguments(call, {"groups": str(count)})
    return Change(subject.rewrite({call: changed}), f"{count} groups in {label_of(subject, call)}")


def _separate(subject: Subject, call: cst.Call, _rng: random.Random) -> Change:
    """`Conv2d(a, b, k, …)` → `Sequential(Conv2d(a, a, k, …, groups=a), Conv2d(a, b, 1))`."""
    given = arguments_of(call)
    narrow = subject.code(given["in_channels"])
    depthwise = with_arguments(call, {"out_channels": narrow, "groups": narrow, "bias": "False"})
    pointwise = call.with_changes(
        args=joined_arguments(
            [
                cst.Arg(given["in_channels"]),
                cst.Arg(given["out_channels"]),
                keyword_argument("kernel_size", "1"),
            ]
        )
    )
    sequential = cst.Call(
        cst.parse_expression(f"{subject.code(call.func).removesuffix('Conv2d')}Sequential"),
        joined_arguments([cst.Arg(depthwise), cst.Arg(pointwise)]),
    )
    return Change(
        subject.rewrite({call: sequential}),
        f"{label_of(subject, call)} split into depthwise and pointwise",
    )
