"""Swaps batch, group and instance normalisation; adds a normalisation after a convolution."""

import random
from collections.abc import Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.calls import arguments_of, kind_of, layer_calls, layers_made
from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.sequences import Place, place_of
from generator_svc.proposers.mutation.subject import Subject

NORMALISATIONS = ("BatchNorm2d", "GroupNorm", "InstanceNorm2d")
GROUPS = (16, 8, 4, 2, 1)


def normalisation_sites(subject: Subject) -> Sequence[Site]:
    """Each normalisation alone, all of a kind together, and convolutions that have none."""
    calls = list(layer_calls(subject, *NORMALISATIONS))
    sites: list[Site] = [partial(_swap, subject, [call]) for call in calls]
    for kind in NORMALISATIONS:
        alike = [call for call in calls if kind_of(call) == kind]
        if len(alike) > 1:
            sites.append(partial(_swap, subject, alike))
    for call in layer_calls(subject, "Conv2d"):
        place = place_of(subject, call)
        following = None if place is None else place.module(1)
        follows = isinstance(following, cst.Call) and kind_of(following) in NORMALISATIONS
        if place is not None and not follows and "out_channels" in arguments_of(call):
            sites.append(partial(_add, subject, call, place))
    return sites


def _swap(subject: Subject, calls: Sequence[cst.Call], rng: random.Random) -> Change | None:
    old = kind_of(calls[0])
    new = rng.choice([kind for kind in NORMALISATIONS if kind != old])
    replacements = {}
    for call in calls:
        given = arguments_of(call)
        channels = given.get("num_channels", given.get("num_features"))
        if channels is None:
            return None
        replacements[call] = _construct(subject, call, new, subject.code(channels), _channels(subject, call))
    where = f"in {label_of(subject, calls[0])}" if len(calls) == 1 else "everywhere"
    return Change(subject.rewrite(replacements), f"{old} → {new} {where}")


def _channels(subject: Subject, call: cst.Call) -> list[int]:
    """The channel counts that a call was made with, in the symbolic runs."""
    names = ("num_features", "num_channels", "out_channels")
    made = [layer for trace in subject.traces for layer in layers_made(trace.journal, subject, call)]
    sizes = [layer.arguments[name] for layer in made for name in names if name in layer.arguments]
    return [size for size in sizes if isinstance(size, int)]


def _construct(
    subject: Subject, like: cst.Call, kind: str, channels: str, counts: Sequence[int]
) -> cst.BaseExpression:
    owner = subject.code(like.func).removesuffix(kind_of(like))
    if kind == "GroupNorm":
        groups = next(groups for groups in GROUPS if all(count % groups == 0 for count in counts))
        return cst.parse_expression(f"{owner}GroupNorm({groups}, {channels})")
    affine = ", affine=True" if kind == "InstanceNorm2d" else ""
    return cst.parse_expression(f"{owner}{kind}({channels}{affine})")


def _add(subject: Subject, call: cst.Call, place: Place, rng: random.Random) -> Change:
    kind = rng.choice(["BatchNorm2d", "BatchNorm2d", "GroupNorm"])
    channels = subject.code(arguments_of(call)["out_channels"])
    added = _construct(subject, call, kind, channels, _channels(subject, call))
    return Change(subject.rewrite(place.insert_after([added])), f"{kind} added in {label_of(subject, call)}")
