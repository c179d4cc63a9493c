"""Runs a network source symbolically for one input shape, and says whether it is consistent.

The run follows Python's own rules on numbers, lists and classes, and torch's on shapes. It executes
nothing of the source. What it cannot follow leaves the verdict `undecided`, never `proven`.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from contracts.syntax import parse
from generator_svc.shapes.journal import Journal
from generator_svc.shapes.machine import Machine
from generator_svc.shapes.values import (
    UNKNOWN,
    Function,
    Hyperparameters,
    Inconsistent,
    Int,
    Span,
    Tensor,
    Undecided,
    UserClass,
    Value,
)


class Verdict(StrEnum):
    """What a symbolic run shows."""

    PROVEN = "proven"
    """`forward` returns (batch, classes)."""
    INCONSISTENT = "inconsistent"
    """Construction or `forward` would raise, or return another shape."""
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Trace:
    """What a symbolic run shows. After a failure the journal ends where the run did."""

    verdict: Verdict
    reason: str
    journal: Journal
    steps: int
    expected: Value = None
    actual: Value = None
    """For `inconsistent`: two sizes that had to be equal, with the literals behind them, where known."""


def trace_source(
    source: str,
    in_shape: tuple[int, int, int, int],
    classes: int,
    overrides: Mapping[Span, int] | None = None,
) -> Trace:
    """Construct `Net` for `in_shape` (batch, channels, height, width) and call it once.

    `source` must have passed `contracts.source_rules.check_source`. `overrides` are integer literals
    to be read as other numbers, by where they stand.
    """
    journal = Journal(overrides or {})
    machine = Machine(journal)
    try:
        result = _output(machine, parse(source), in_shape, classes)
    except Inconsistent as error:
        return Trace(Verdict.INCONSISTENT, str(error), journal, machine.steps, error.expected, error.actual)
    except Undecided as error:
        return Trace(Verdict.UNDECIDED, str(error), journal, machine.steps)
    except (TypeError, AttributeError, LookupError, ArithmeticError, ValueError, RecursionError) as error:
        # A hostile source may bring any value anywhere; where a rule stumbles over it, nothing is proven.
        return Trace(Verdict.UNDECIDED, f"not followed: {type(error).__name__}", journal, machine.steps)
    if not isinstance(result, Tensor):
        return Trace(Verdict.UNDECIDED, "the shape of the output is unknown", journal, machine.steps)
    if result.shape != (in_shape[0], classes):
        shape = tuple(map(int, result.shape))
        return Trace(Verdict.INCONSISTENT, f"the output has the shape {shape}", journal, machine.steps)
    return Trace(Verdict.PROVEN, "", journal, machine.steps)


def _output(machine: Machine, tree: ast.Module, in_shape: tuple[int, int, int, int], classes: int) -> Value:
    machine.execute(tree.body, machine.globals)
    network = machine.globals.lookup("Net")
    constructor = network.member("__init__") if isinstance(network, UserClass) else UNKNOWN
    if not isinstance(constructor, Function):
        raise Undecided("Net is not a class that can be followed")
    shape = tuple(Int(side) for side in in_shape)
    arguments: list[Value] = [shape, (Int(classes),)]
    if isinstance(network.member("learn"), Function):
        arguments += [Hyperparameters(), UNKNOWN]
    nowhere = (0, 0, 0, 0)
    instance = machine.call(network, arguments, {}, nowhere)
    return machine.call(instance, [Tensor(shape)], {}, nowhere)
