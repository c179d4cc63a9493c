"""The regions of a source that edit permissions speak of, by name. Nothing is executed.

A source falls into places, and each line of code stands in one of them: `imports` (top-level imports),
`module` (other top-level statements), `NAME` (a top-level definition; of a class, all but its methods),
`CLASS.METHOD`. A region is what a user writes: a place; a class, with its methods; or the bare name
of a method of `Net`.
"""

import ast
from collections.abc import Iterable, Iterator

from contracts.jobs import EditPermissions
from contracts.syntax import parse

IMPORTS = "imports"
MODULE = "module"
NETWORK = "Net"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def places(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Every top-level statement and method with its place, in source order; a class before its methods."""
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield IMPORTS, statement
        elif not isinstance(statement, Definition) or statement.name in {IMPORTS, MODULE}:
            yield MODULE, statement
        else:
            yield statement.name, statement
            if isinstance(statement, ast.ClassDef):
                for member in statement.body:
                    if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                        yield f"{statement.name}.{member.name}", member


def place_names(source: str) -> tuple[str, ...]:
    """The names of all places of a source, in source order, each once; `imports` and `module` always exist.

    Raises what `contracts.syntax.parse` raises; never for a source that passed `check_source`.
    """
    return tuple(dict.fromkeys((IMPORTS, MODULE, *(place for place, _ in places(parse(source))))))


def regions_of(source: str) -> tuple[str, ...]:
    """Every way to name a region of a source, in source order, each once. Raises as `place_names` does."""
    found: dict[str, None] = {}
    for place in place_names(source):
        found[place] = None
        if place.startswith(f"{NETWORK}."):
            found[place.removeprefix(f"{NETWORK}.")] = None
    return tuple(found)


def covers(region: str, place: str) -> bool:
    """Whether a region holds a place: `Block` holds `Block.forward`, `forward` holds `Net.forward`."""
    return place == region or place.partition(".")[0] == region or place == f"{NETWORK}.{region}"


def permits(edits: EditPermissions, place: str) -> bool:
    """Whether a delta may change a place. What is in `never` stays, even where `only` names it."""
    if _any_covers(edits.never, place):
        return False
    return not edits.only or _any_covers(edits.only, place)


def _any_covers(regions: Iterable[str], place: str) -> bool:
    return any(covers(region, place) for region in regions)
