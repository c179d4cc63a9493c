"""The regions of a source that edit permissions speak of, by name. Nothing is executed.

A source falls into places, and each line of code stands in one of them: `imports` (top-level imports),
`module` (other top-level statements), `NAME` (a top-level definition; of a class, all but what it defines),
`CLASS.METHOD` (or a class within a class). What sets `CLASS.METHOD` from `module` stands in both. A region is
what a user writes: a place; a class, with all that it defines; or the bare name of a method of `Net`.
"""

import ast
from collections.abc import Iterable, Iterator, Set

from contracts.proposals import EditPermissions
from contracts.syntax import parse

IMPORTS = "imports"
MODULE = "module"
NETWORK = "Net"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def places(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Every top-level statement and method with its place, in source order; a class before its members."""
    classes = {statement.name for statement in tree.body if isinstance(statement, ast.ClassDef)}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield IMPORTS, statement
        elif not isinstance(statement, Definition) or statement.name in {IMPORTS, MODULE}:
            yield MODULE, statement
            yield from ((place, statement) for place in dict.fromkeys(_members_set(statement, classes)))
        else:
            yield statement.name, statement
            if isinstance(statement, ast.ClassDef):
                for member in statement.body:
                    if isinstance(member, Definition):
                        yield f"{statement.name}.{member.name}", member


def _members_set(statement: ast.stmt, classes: Set[str]) -> Iterator[str]:
    """What a statement sets or deletes of a class, as far as it says so by name: `CLASS.METHOD`."""
    for node in ast.walk(statement):
        match node:
            case ast.Attribute(ast.Name(owner), name, ast.Store() | ast.Del()):
                pass
            case ast.Call(ast.Name("setattr" | "delattr"), [ast.Name(owner), ast.Constant(str(name)), *_]):
                pass
            case _:
                continue
        if owner in classes:
            yield f"{owner}.{name}"


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


def changed_places(before: str, after: str) -> tuple[str, ...]:
    """The places whose code differs between two sources, in source order; comments and layout are no code.

    Raises as `place_names` does.
    """
    old, new = _code_by_place(before), _code_by_place(after)
    return tuple(place for place in dict.fromkeys((*old, *new)) if old.get(place) != new.get(place))


def forbidden_places(before: str, after: str, edits: EditPermissions) -> tuple[str, ...]:
    """The changed places that may not be changed. Raises as `place_names` does."""
    if edits == EditPermissions():
        return ()
    return tuple(place for place in changed_places(before, after) if not permits(edits, place))


def _code_by_place(source: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, statement in places(parse(source)):
        found.setdefault(place, []).append(ast.dump(_without_members(statement)))
    return found


def _without_members(statement: ast.stmt) -> ast.stmt:
    """Of a class that is a place, what belongs to it and not to what it defines."""
    if not isinstance(statement, ast.ClassDef) or statement.name in {IMPORTS, MODULE}:
        return statement
    kept = [member for member in statement.body if not isinstance(member, Definition)]
    return ast.ClassDef(statement.name, statement.bases, statement.keywords, kept, statement.decorator_list)


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
