"""One source as the operators see it: its LibCST tree, where every node stands, and how to rewrite it.

LibCST keeps comments and formatting, so a rewrite changes only the lines it means to change. Nothing
here decides what to change.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from contracts.failures import FailureReason
from contracts.names import SourceContract
from contracts.source_rules import SourceRejected, check_source
from contracts.syntax import parse
from generator_svc.shapes import Span, Trace, Verdict, trace_source
from generator_svc.shapes.journal import Journal

Node = TypeVar("Node", bound=cst.CSTNode)
Replacement = cst.CSTNode | Sequence[cst.CSTNode] | None
"""A node instead of another, several statements instead of one, or None to remove it."""

_LINE_END = re.compile(r"\r\n|\r|\n")

MAX_STEPS_OF_ALL_RUNS = 2_000_000
"""Counted in steps and not in seconds, so that a replay decides alike on any machine."""

Probe = tuple[tuple[int, int, int, int], int]
"""Input shape (batch, channels, height, width) and classes."""

PROBES: tuple[Probe, ...] = (((8, 1, 28, 28), 10), ((8, 3, 32, 32), 10))
"""What a mutant must keep working for, where its baseline did."""

LARGE_PROBE: Probe = ((8, 3, 224, 224), 10)
"""For networks made for large images, whose maps would vanish from small ones."""


class Subject:
    """A checked source with its tree, positions and traces."""

    def __init__(self, source: str) -> None:
        """Raises SourceRejected: first by the source rules, then by what LibCST cannot parse."""
        self.source = source
        self.contract: SourceContract = check_source(source).contract
        try:
            self.module = cst.parse_module(source)
        except (cst.ParserSyntaxError, RecursionError) as error:
            raise SourceRejected(
                FailureReason.SYNTAX_ERROR, "the source uses syntax that mutations cannot read"
            ) from error

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """The inputs that a mutant is run for; the large one only where no small one is proven."""
        small = any(trace_source(self.source, *probe).verdict == Verdict.PROVEN for probe in PROBES)
        return PROBES if small else (LARGE_PROBE,)

    @cached_property
    def traces(self) -> tuple[Trace, ...]:
        """What a symbolic run of the network shows, one per probe."""
        return tuple(trace_source(self.source, *probe) for probe in self.probes)

    @property
    def is_proven(self) -> bool:
        """Whether the network is consistent for at least one probe."""
        return any(trace.verdict == Verdict.PROVEN for trace in self.traces)

    @cached_property
    def journal(self) -> Journal:
        """What the first proven run wrote down; of the first run where none is proven."""
        proven = (trace for trace in self.traces if trace.verdict == Verdict.PROVEN)
        return next(proven, self.traces[0]).journal

    @property
    def affordable_runs(self) -> int:
        """Symbolic runs that one proposal may take: fewer for a source that is slow to follow."""
        return max(10, MAX_STEPS_OF_ALL_RUNS // max(trace.steps for trace in self.traces))

    @cached_property
    def _positions(self) -> Mapping[cst.CSTNode, Span]:
        resolved = MetadataWrapper(self.module, unsafe_skip_copy=True).resolve(PositionProvider)
        lines = _LINE_END.split(self.source)

        def bytes_before(line: int, column: int) -> int:
            text = lines[line - 1] if line <= len(lines) else ""
            return column if text.isascii() else len(text[:column].encode())

        return {
            node: (
                at.start.line,
                bytes_before(at.start.line, at.start.column),
                at.end.line,
                bytes_before(at.end.line, at.end.column),
            )
            for node, at in resolved.items()
        }

    @cached_property
    def _expressions(self) -> dict[Span, cst.BaseExpression]:
        return {span: node for node, span in self._positions.items() if isinstance(node, cst.BaseExpression)}

    @cached_property
    def _children(self) -> dict[cst.CSTNode, Sequence[cst.CSTNode]]:
        """Below every node; LibCST computes children anew each time, which is slow."""
        found: dict[cst.CSTNode, Sequence[cst.CSTNode]] = {}
        pending: list[cst.CSTNode] = [self.module]
        while pending:
            node = pending.pop()
            found[node] = node.children
            pending.extend(found[node])
        return found

    @cached_property
    def _parents(self) -> dict[cst.CSTNode, cst.CSTNode]:
        return {child: node for node, children in self._children.items() for child in children}

    def walk(self, root: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Every node from `root` down, in source order."""
        pending = [root]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(self._children[node]))

    def expression_at(self, span: Span) -> cst.BaseExpression | None:
        """The expression that a syntax-tree span (1-based lines, byte columns) covers."""
        return self._expressions.get(span)

    def span_of(self, node: cst.CSTNode) -> Span:
        """Where a node stands."""
        return self._positions[node]

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """The nodes around `node`, innermost first."""
        parent = self._parents.get(node)
        while parent is not None:
            yield parent
            parent = self._parents.get(parent)

    def enclosing(self, node: cst.CSTNode, kind: type[Node]) -> Node | None:
        """The innermost node of `kind` around `node`."""
        return next((above for above in self.ancestors(node) if isinstance(above, kind)), None)

    def nodes(self, kind: type[Node]) -> Iterator[Node]:
        """Every node of `kind`, in source order."""
        return (node for node in self.walk(self.module) if isinstance(node, kind))

    def library_path(self, module: str) -> str | None:
        """How this source can write a module such as `torch.nn`; None if no import leads there."""
        found: dict[str, str] = {}
        for node in parse(self.source).body:
            origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            if isinstance(node, ast.Import | ast.ImportFrom):
                found.update({origin + alias.name: alias.asname or alias.name for alias in node.names})
        head, tail = module, ""
        while head:
            if head in found:
                return found[head] + tail
            head, _, last = head.rpartition(".")
            tail = f".{last}{tail}"
        return None

    def code(self, node: cst.CSTNode) -> str:
        """The text of a node."""
        return self.module.code_for_node(node).strip()

    def rewrite(self, replacements: Mapping[Any, Replacement]) -> str:
        """The source with each node replaced; everything else byte for byte as it was."""
        touched = {above for node in replacements for above in (node, *self.ancestors(node))}
        rewritten = self.module.visit(_Rewriter(replacements, touched))
        assert isinstance(rewritten, cst.Module)
        return rewritten.code


class _Rewriter(cst.CSTTransformer):
    def __init__(self, replacements: Mapping[Any, Replacement], touched: Set[cst.CSTNode]) -> None:
        super().__init__()
        self._replacements = replacements
        self._touched = touched

    def on_visit(self, node: cst.CSTNode) -> bool:
        return node in self._touched

    def on_leave(  # type: ignore[override]
        self, original_node: cst.CSTNode, updated_node: cst.CSTNode
    ) -> cst.CSTNode | cst.FlattenSentinel[cst.CSTNode] | cst.RemovalSentinel:
        if original_node not in self._replacements:
            return updated_node
        replacement = self._replacements[original_node]
        if replacement is None:
            return cst.RemoveFromParent()
        return replacement if isinstance(replacement, cst.CSTNode) else cst.FlattenSentinel(replacement)


def dotted_name(node: cst.CSTNode) -> str:
    """`torch.nn.Conv2d` of a chain of names and attributes; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return ""
    return ".".join([node.value, *reversed(parts)])


@lru_cache(maxsize=32)
def subject_of(source: str) -> Subject:
    """A Subject, remembered: one baseline usually serves many slots. Raises SourceRejected."""
    return Subject(source)
