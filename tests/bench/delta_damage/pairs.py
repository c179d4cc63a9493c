"""A baseline and a target, a moderate edit apart: what a model is asked to bridge by a delta."""

import ast
from dataclasses import dataclass

from contracts.source_rules import SourceRejected, check_source
from contracts.syntax import parse

from .hunks import Hunks, diff, split_lines

CHANGED_LINES = range(3, 61)
MOST_HUNKS = 8
MOST_LINES = 320
"""A longer baseline does not fit into the context of a small model together with its answer."""


@dataclass(frozen=True)
class Pair:
    """A baseline, the target, and the true hunks between them."""

    name: str
    baseline: str
    target: str
    hunks: Hunks


def pair_of(name: str, baseline: str, target: str) -> Pair | None:
    """The pair, if its delta is of a moderate size and both are networks of one contract."""
    hunks = diff(baseline, target)
    changed = sum(len(hunk.changes) for hunk in hunks)
    if changed not in CHANGED_LINES or len(hunks) > MOST_HUNKS or len(split_lines(baseline)) > MOST_LINES:
        return None
    return Pair(name, baseline, target, hunks) if _is_step(baseline, target) else None


def normalised(source: str) -> str:
    """Plain line ends, and one at the end."""
    return source.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"


def _is_step(baseline: str, target: str) -> bool:
    """Whether the target is another network under the same contract."""
    try:
        contracts = {check_source(source).contract for source in (baseline, target)}
    except SourceRejected:
        return False
    dumps = {tree(source) for source in (baseline, target)}
    return len(contracts) == 1 and len(dumps) == 2


def tree(source: str) -> str:
    """The code alone, without comments and layout. Raises SyntaxError."""
    return ast.dump(parse(source))
