"""Swaps one activation function for another, as a module, a function, or a class passed around."""

import random
from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst

from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.subject import Replacement, Subject, dotted_name

MODULES = ("ReLU", "GELU", "SiLU", "LeakyReLU", "Hardswish", "ELU", "Mish")
FUNCTIONS = ("relu", "gelu", "silu", "leaky_relu", "hardswish", "elu", "mish")
_NO_INPLACE = {"GELU", "gelu"}


def activation_sites(subject: Subject) -> Sequence[Site]:
    """Each activation alone, and all that share a name together."""
    found = list(_activations(subject))
    alone = [partial(_swap, subject, [node]) for node in found]
    by_name: dict[str, list[cst.Attribute]] = {}
    for node in found:
        by_name.setdefault(node.attr.value, []).append(node)
    together = [partial(_swap, subject, nodes) for nodes in by_name.values() if len(nodes) > 1]
    return alone + together


def _activations(subject: Subject) -> Iterator[cst.Attribute]:
    for node in subject.nodes(cst.Attribute):
        owner, _, name = dotted_name(node).rpartition(".")
        if (name in MODULES and owner.endswith("nn")) or (
            name in FUNCTIONS
            and owner in {"F", "functional", "nn.functional", "torch.nn.functional", "torch"}
        ):
            yield node


def _swap(subject: Subject, nodes: Sequence[cst.Attribute], rng: random.Random) -> Change | None:
    old = nodes[0].attr.value
    choices = MODULES if old in MODULES else FUNCTIONS
    new = rng.choice([name for name in choices if name != old])
    replacements: dict[cst.CSTNode, Replacement] = {}
    for node in nodes:
        call = _call_of(subject, node)
        if call is None:
            replacements[node] = _renamed(node, new)
        else:
            replacements[call] = call.with_changes(func=_renamed(node, new), args=_arguments(call, old, new))
    where = f"in {label_of(subject, nodes[0])}" if len(nodes) == 1 else "everywhere"
    return Change(subject.rewrite(replacements), f"{old} → {new} {where}")


def _call_of(subject: Subject, node: cst.Attribute) -> cst.Call | None:
    parent = next(subject.ancestors(node), None)
    return parent if isinstance(parent, cst.Call) and parent.func is node else None


def _renamed(node: cst.Attribute, new: str) -> cst.BaseExpression:
    if dotted_name(node.value) == "torch":
        return cst.parse_expression(f"torch.nn.functional.{new}")
    return node.with_changes(attr=cst.Name(new))


def _arguments(call: cst.Call, old: str, new: str) -> list[cst.Arg]:
    """A function keeps its tensor; slopes and shapes belong to the old function, `inplace` to most."""
    kept = [] if old in MODULES else list(call.args[:1])
    kept += [
        arg
        for arg in call.args
        if arg.keyword is not None and arg.keyword.value == "inplace" and new not in _NO_INPLACE
    ]
    if kept:
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return kept
