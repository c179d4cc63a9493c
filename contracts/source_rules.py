"""The rules a source must meet before anything else looks at it (docs/user-guide.md). Never executes it."""

import ast
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from contracts.failures import FailureReason
from contracts.names import (
    MAX_LITERAL_BYTES,
    MAX_SOURCE_BYTES,
    MAX_SOURCE_INFORMATION_BYTES,
    MAX_SYNTAX_DEPTH,
    SourceContract,
)
from contracts.syntax import parse

_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.JoinedStr, ast.BinOp)
"""What may spell out a table."""
_PARTS = (*_DISPLAYS, ast.UnaryOp)
_LITERALS = (ast.Constant, *_DISPLAYS)


class SourceRejected(Exception):
    """A source breaks a rule. Carries what a failure or a problem document needs."""

    def __init__(
        self, reason: FailureReason, message: str, line: int | None = None, rule: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.line = line
        self.rule = rule or reason.value
        """too_large, too_much_information, too_deep or literal_too_large; else the reason's own word."""

    @property
    def location(self) -> str | None:
        """Where in the source, for people."""
        return None if self.line is None else f"line {self.line}"


@dataclass(frozen=True)
class CheckedSource:
    """A source that meets the rules."""

    source: str
    contract: SourceContract
    tree: ast.Module = field(repr=False, compare=False)
    """Parsed once, for whoever looks further. Not to be changed."""

    @property
    def candidate_id(self) -> str:
        """The candidate's id: SHA-256 of its source, hex."""
        return candidate_id(self.source)


def candidate_id(source: str) -> str:
    """SHA-256 of the source's UTF-8 bytes, hex (64 characters)."""
    return hashlib.sha256(source.encode()).hexdigest()


def check_source(source: str) -> CheckedSource:
    """Parse `source` and say which contract it follows.

    Raises SourceRejected with syntax_error, contract_violation or policy_violation.
    """
    try:
        encoded = source.encode()
    except UnicodeEncodeError as error:
        raise SourceRejected(FailureReason.SYNTAX_ERROR, "the source is not valid Unicode") from error
    if len(encoded) > MAX_SOURCE_BYTES:
        raise SourceRejected(
            FailureReason.POLICY_VIOLATION,
            f"the source has {len(encoded)} bytes; at most {MAX_SOURCE_BYTES} are allowed",
            rule="too_large",
        )
    _check_information(encoded)
    tree = _parse(source)
    _check_literals(_nodes(tree))
    return CheckedSource(source, _contract(tree), tree)


def _check_information(encoded: bytes) -> None:
    """What compression leaves bounds what a source can have memorised, in literals, names or comments."""
    left = len(zlib.compress(encoded, 9))
    if left > MAX_SOURCE_INFORMATION_BYTES:
        raise SourceRejected(
            FailureReason.POLICY_VIOLATION,
            f"the source holds {left} bytes of information (its size when compressed); at most "
            f"{MAX_SOURCE_INFORMATION_BYTES} are allowed: weights and tables do not belong into a source",
            rule="too_much_information",
        )


def _parse(source: str) -> ast.Module:
    try:
        return parse(source)
    except SyntaxError as error:
        # A NUL byte is refused before there are lines.
        where = "" if error.lineno is None else f"line {error.lineno}: "
        raise SourceRejected(FailureReason.SYNTAX_ERROR, f"{where}{error.msg}", error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise SourceRejected(
            FailureReason.SYNTAX_ERROR, f"the source cannot be parsed: {type(error).__name__}"
        ) from error


def _nodes(tree: ast.Module) -> list[ast.AST]:
    """All nodes, level by level, of a tree that is not too deep."""
    found: list[ast.AST] = []
    level: list[ast.AST] = [tree]
    for _ in range(MAX_SYNTAX_DEPTH):
        found += level
        # What ast.iter_child_nodes gives, in half the time: every proposal passes here several times.
        values = [getattr(node, name, None) for node in level for name in node._fields]
        flat = chain.from_iterable(value if isinstance(value, list) else (value,) for value in values)
        level = [child for child in flat if isinstance(child, ast.AST)]
        if not level:
            return found
    raise SourceRejected(
        FailureReason.POLICY_VIOLATION,
        f"the source nests deeper than {MAX_SYNTAX_DEPTH} levels",
        getattr(level[0], "lineno", None),
        rule="too_deep",
    )


def _check_literals(nodes: Sequence[ast.AST]) -> None:
    """`nodes` has parents before their parts: what was counted in a larger literal is not counted again."""
    counted: set[ast.AST] = set()
    for node in nodes:
        if not isinstance(node, _LITERALS) or node in counted:
            continue
        size = _literal_bytes(node, counted)
        if size > MAX_LITERAL_BYTES:
            line = getattr(node, "lineno", None)
            raise SourceRejected(
                FailureReason.POLICY_VIOLATION,
                f"line {line}: a literal of {size} bytes; at most {MAX_LITERAL_BYTES} are allowed",
                line,
                rule="literal_too_large",
            )


def _literal_bytes(node: ast.AST, counted: set[ast.AST]) -> int:
    """Size of one literal: a constant, or a display (list, tuple, set, dict) with all the constants in it.

    Calls in a display compute values and are not literals. What is part of it is added to `counted`.
    """
    if isinstance(node, ast.Constant):
        return _constant_bytes(node.value)
    size = 0
    pending = list(ast.iter_child_nodes(node))
    while pending:
        child = pending.pop()
        if isinstance(child, ast.Constant):
            counted.add(child)
            size += _constant_bytes(child.value)
        elif isinstance(child, _PARTS):
            counted.add(child)
            pending.extend(ast.iter_child_nodes(child))
    return size


def _constant_bytes(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, int) and not isinstance(value, bool):
        # Its decimal digits. Python refuses to print 4,300 of them, and so to show or compare a tree.
        return value.bit_length() * 30103 // 100_000 + 1
    return 8


def _contract(tree: ast.Module) -> SourceContract:
    networks = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Net"]
    if not networks:
        raise SourceRejected(
            FailureReason.CONTRACT_VIOLATION,
            "the source defines no top-level `class Net`; define `class Net(torch.nn.Module)`",
        )
    network = networks[-1]
    if not network.bases:
        raise SourceRejected(
            FailureReason.CONTRACT_VIOLATION,
            f"line {network.lineno}: `Net` has no base class; write `class Net(torch.nn.Module)`",
            network.lineno,
        )
    methods = {node.name for node in network.body if isinstance(node, ast.FunctionDef)}
    return SourceContract.LEMUR if "learn" in methods else SourceContract.PLAIN
