"""Canonical sources: two sources that differ only in wording become the same text.

Comments, docstrings, layout, annotations, the names of locals, parameters, helpers and attributes,
and the way in which modules are imported do not matter; everything that the network computes with
does. The result is parsable Python, but it is for comparing, not for running. Built on `ast` alone.

Where a name might be seen from outside or through a string (getattr, keywords, `locals()`), it stays
as it is: then two wordings of one network may stay different, but two networks never become one.
"""

import ast

from contracts.source_rules import SourceRejected, check_source
from contracts.syntax import parse
from filter_svc.canonical.attributes import rename_attributes
from filter_svc.canonical.imports import resolve_imports, restore_imports
from filter_svc.canonical.names import rename_names
from filter_svc.canonical.plain_syntax import strip_wording
from filter_svc.canonical.scopes import occurrences_of

CANONICAL_VERSION = 1
"""Grows whenever the canonical text of any source changes; fingerprints of other versions are redone."""


class NotScreenable(Exception):
    """The source cannot be compared with anything. Never to be read as 'novel'."""

    def __init__(self, message: str, location: str | None = None) -> None:
        super().__init__(message)
        self.location = location


def canonical_source(source: str) -> str:
    """The canonical text of an architecture source. `canonical_source` of the result is the result.

    Raises NotScreenable for what is no architecture source.
    """
    try:
        check_source(source)
        return _canonical(source)
    except SourceRejected as error:
        raise NotScreenable(error.message, error.location) from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise NotScreenable(f"the source cannot be canonicalised: {type(error).__name__}") from error


def _canonical(source: str) -> str:
    tree = strip_wording(parse(source))
    occurrences = occurrences_of(tree)
    resolve_imports(tree, occurrences)
    nodes = list(ast.walk(tree))
    rename_names(nodes, occurrences)
    rename_attributes(nodes, occurrences)
    restore_imports(tree, nodes)
    return ast.unparse(tree) + "\n"
