"""Syntax trees of sources, one at a time."""

import ast
import threading

ONE_AT_A_TIME = threading.RLock()
"""CPython counts the nesting of syntax trees for all threads together: two that parse at once can fail each
other with a SystemError (python/cpython issue 106905). To be held by whatever has a library parse, too."""


def parse(source: str) -> ast.Module:
    """The syntax tree. Raises what ast.parse raises: SyntaxError, ValueError, RecursionError, MemoryError."""
    with ONE_AT_A_TIME:
        return ast.parse(source)
