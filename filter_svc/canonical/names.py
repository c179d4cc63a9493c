"""Gives variables, parameters, helper functions and helper classes names by order of appearance.

`v1_0` is the first variable of a function, `v2_0` that of a function in it (so that no inner name
hides an outer one); `f0`, `c0`, `g0` are the module's functions, classes and other globals. What the
host or torch looks up by name stays: `Net`, `supported_hyperparameters`, dunders, imported names,
builtins, keywords, and every parameter that some call passes by keyword.
"""

import ast
from collections import defaultdict
from collections.abc import Sequence

from filter_svc.canonical.imports import imported_path
from filter_svc.canonical.scopes import Occurrence, Variable

HOST_NAMES = frozenset({"Net", "supported_hyperparameters"})
NAME_READERS = frozenset({"locals", "globals", "vars", "eval", "exec", "dir", "compile"})
"""Builtins that see names: a source that uses one keeps all of its own."""
KEYWORD_FORWARDERS = frozenset({"functools.partial", "functools.partialmethod"})


def rename_names(nodes: Sequence[ast.AST], occurrences: Sequence[Occurrence]) -> None:
    """Rename in place every variable that only the source itself can see."""
    if reads_names(occurrences):
        return
    binders: dict[Variable, set[type]] = defaultdict(set)
    for occurrence in occurrences:
        if occurrence.binder is not None:
            binders[occurrence.variable].add(type(occurrence.node))
    keywords = _keywords(nodes, occurrences)
    given: dict[Variable, str] = {}
    counts: dict[object, int] = defaultdict(int)
    for occurrence in occurrences:
        variable = occurrence.variable
        if variable not in given:
            prefix = _prefix(variable, binders[variable], keywords)
            given[variable] = f"{prefix}{counts[variable.owner, prefix]}" if prefix else variable.name
            counts[variable.owner, prefix] += 1
        if given[variable] != occurrence.name:
            occurrence.rename(given[variable])


def reads_names(occurrences: Sequence[Occurrence]) -> bool:
    """Whether the source can look at its own names while it runs."""
    return any(o.name in NAME_READERS and o.variable.owner is None for o in occurrences)


def _prefix(variable: Variable, binders: set[type], keywords: set[str]) -> str:
    """The beginning of the new name; empty if the name stays."""
    owner, name = variable.owner, variable.name
    if owner is None or owner.is_class or ast.alias in binders:
        return ""
    if owner.parent is not None:
        return "" if ast.arg in binders and name in keywords else f"v{owner.depth}_"
    if name in HOST_NAMES or (name.startswith("__") and name.endswith("__")):
        return ""
    if binders <= {ast.FunctionDef, ast.AsyncFunctionDef}:
        return "f"
    return "c" if binders == {ast.ClassDef} else "g"


def _keywords(nodes: Sequence[ast.AST], occurrences: Sequence[Occurrence]) -> set[str]:
    """Keywords of calls that may reach a function of this source."""
    builtins = {o.node for o in occurrences if o.variable.owner is None}
    return {
        keyword.arg
        for node in nodes
        if isinstance(node, ast.Call) and node.keywords and node.func not in builtins
        if imported_path(node.func) in {None, *KEYWORD_FORWARDERS}
        for keyword in node.keywords
        if keyword.arg
    }
