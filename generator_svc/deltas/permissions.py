"""Where a search lets deltas edit, judged by what changed and not by where a hunk claims to be.

The regions are those of `contracts.edit_regions`. A region that appears, disappears or is renamed has
changed; comments, layout and the order of regions are free.
"""

import ast
from dataclasses import dataclass

from contracts.edit_regions import forbidden_places, permits, place_names, places
from contracts.proposals import EditPermissions
from contracts.syntax import parse

MAX_NAMES = 12
"""Regions that a message lists."""


@dataclass(frozen=True)
class ForbiddenChange:
    """A change where none is allowed. `line` is 1-based, in the result; in the baseline if it was removed."""

    region: str
    line: int
    message: str


def forbidden_change(baseline: str, result: str, edits: EditPermissions) -> ForbiddenChange | None:
    """The first change from `baseline` to `result` that `edits` does not allow, or None.

    Pure. Raises what `contracts.syntax.parse` raises if one of both is no Python.
    """
    found = forbidden_places(baseline, result, edits)
    if not found:
        return None
    region = found[0]
    before, after = _statements(baseline, region), _statements(result, region)
    if not after:
        verb, line, side = "removes", _line(before[0]), "baseline"
    else:
        verb, line, side = "changes" if before else "adds", _first_difference(before, after), "result"
    return ForbiddenChange(
        region,
        line,
        f"the change {verb} `{region}` (line {line} of the {side}); {_allowance(edits, baseline)}",
    )


def _statements(source: str, region: str) -> list[ast.stmt]:
    return [statement for place, statement in places(parse(source)) if place == region]


def _first_difference(before: list[ast.stmt], after: list[ast.stmt]) -> int:
    """The line of the first statement that differs; the last one's, where only the baseline has more."""
    known = [ast.dump(statement) for statement in before]
    changed = [
        s for index, s in enumerate(after) if index >= len(known) or ast.dump(s) != known[index]
    ] or after[-1:]
    return _line(changed[0])


def _line(statement: ast.stmt) -> int:
    return min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])


def _allowance(edits: EditPermissions, baseline: str) -> str:
    allowed = [name for name in place_names(baseline) if permits(edits, name)]
    if not allowed:
        return "this search allows changes nowhere in this baseline"
    shown = ", ".join(f"`{name}`" for name in allowed[:MAX_NAMES])
    return f"change only {shown}{' and others' if len(allowed) > MAX_NAMES else ''}"
