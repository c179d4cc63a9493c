"""A network's code in the layout of another one, so that the delta between them changes nothing but code.

Blank lines, comments and the spaces within a line tell a model nothing, and who learns to write them writes
them without end. Statements that both sources have, tokens alone compared, stay as the baseline has them;
what is new comes without blank lines and without comments that the baseline does not have.
"""

import io
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from contracts.syntax import parse
from generator_svc.deltas.canonical import MAX_MATCHING_STEPS, matching_steps, source_lines
from generator_svc.deltas.gates import same_code

_LAYOUT = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)
Key = tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    """Some rows of a source that belong together, [start, stop), and what they say without their layout."""

    start: int
    stop: int
    key: Key


@dataclass(frozen=True)
class _Source:
    """A source, taken apart."""

    rows: list[str]
    statements: list[_Piece]
    code: list[_Piece]
    """The rows that hold more than layout, each for itself."""
    comments: dict[int, tuple[int, str]]
    """By row, where a comment begins and what it says."""


class _TooLong(Exception):
    """To compare the sources would take too long."""


def in_layout_of(baseline: str, target: str) -> str:
    """The target's code, laid out as the baseline where both say the same. Both must be Python.

    The result has the target's syntax tree. A target for which that cannot be had comes back as it is.
    """
    try:
        old, new = _taken_apart(baseline), _taken_apart(target)
        lines = list(_woven(old, old.statements, new, new.statements, _rows_woven))
        result = _joined(lines, baseline)
        return result if same_code(parse(result), parse(target)) else target
    except (_TooLong, tokenize.TokenError, SyntaxError, ValueError, RecursionError, MemoryError):
        return target


def _taken_apart(source: str) -> _Source:
    rows = source_lines(source)
    statements: list[_Piece] = []
    said: dict[int, list[str]] = {}
    comments: dict[int, tuple[int, str]] = {}
    first, words = -1, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start, stop = token.start[0] - 1, token.end[0]
        if token.type == tokenize.NEWLINE and words:
            statements.append(_Piece(first, stop, (_indent(rows[first]), *words)))
            first, words = -1, []
        if token.type == tokenize.COMMENT:
            comments[start] = (token.start[1], token.string)
        if token.type in _LAYOUT:
            continue
        first = start if first < 0 else first
        words.append(token.string)
        for row in range(start, stop):
            text = token.string if stop - start == 1 else rows[row]
            said.setdefault(row, []).append(text)
    starts = {piece.start for piece in statements}
    code = [
        _Piece(row, row + 1, ((_indent(rows[row]) if row in starts else ""), *texts))
        for row, texts in sorted(said.items())
    ]
    return _Source(rows, statements, code, comments)


def _indent(row: str) -> str:
    return row[: len(row) - len(row.lstrip(" \t"))]


Replace = Callable[[_Source, Sequence[_Piece], _Source, Sequence[_Piece]], Iterable[str]]


def _woven(
    old: _Source, old_pieces: Sequence[_Piece], new: _Source, new_pieces: Sequence[_Piece], replace: Replace
) -> Iterator[str]:
    """The rows of the pieces, those that are equal as the baseline has them, with what lies before each."""
    at = 0
    for tag, i1, i2, j1, j2 in _opcodes(old_pieces, new_pieces):
        here = old_pieces[i1].start if i1 < len(old_pieces) else len(old.rows)
        if tag == "insert":
            # Behind the line above, before the blank lines and comments that belong to the line below.
            if i1 == 0:
                yield from old.rows[at:here]
                at = here
            yield from _added(new, new_pieces[j1:j2], old)
            continue
        yield from old.rows[at:here]
        at = old_pieces[i2 - 1].stop
        if tag == "equal":
            yield from old.rows[here:at]
        elif tag == "replace":
            yield from replace(old, old_pieces[i1:i2], new, new_pieces[j1:j2])
    if old_pieces is old.statements:
        yield from old.rows[at:]


def _rows_woven(
    old: _Source, old_pieces: Sequence[_Piece], new: _Source, new_pieces: Sequence[_Piece]
) -> Iterator[str]:
    """Statements that were replaced, row by row: of a long one mostly a single row is new."""
    start, stop = old_pieces[0].start, old_pieces[-1].stop
    part = _Source(old.rows[start:stop], [], _moved(_code_of(old, old_pieces), -start), {})
    rows = _code_of(new, new_pieces)

    def replace(_: _Source, __: Sequence[_Piece], source: _Source, pieces: Sequence[_Piece]) -> Iterator[str]:
        return _added(source, pieces, old)

    return _woven(part, part.code, new, rows, replace)


def _code_of(source: _Source, pieces: Sequence[_Piece]) -> list[_Piece]:
    start, stop = pieces[0].start, pieces[-1].stop
    return [piece for piece in source.code if start <= piece.start < stop]


def _moved(pieces: Iterable[_Piece], by: int) -> list[_Piece]:
    return [_Piece(piece.start + by, piece.stop + by, piece.key) for piece in pieces]


def _added(source: _Source, pieces: Sequence[_Piece], baseline: _Source) -> Iterator[str]:
    """The rows of new code alone; of comments behind code those alone that the baseline has, too."""
    known = {text for _, text in baseline.comments.values()}
    for piece in pieces:
        for row in _code_of(source, [piece]):
            text = source.rows[row.start]
            column, comment = source.comments.get(row.start, (0, ""))
            if comment and comment not in known:
                end = "\r\n" if text.endswith("\r\n") else "\n"
                text = text[:column].rstrip() + end
            yield text


def _opcodes(old: Sequence[_Piece], new: Sequence[_Piece]) -> Sequence[tuple[str, int, int, int, int]]:
    before, after = [piece.key for piece in old], [piece.key for piece in new]
    if matching_steps(before, after) > MAX_MATCHING_STEPS:
        raise _TooLong
    return SequenceMatcher(None, before, after).get_opcodes()


def _joined(lines: Sequence[str], baseline: str) -> str:
    """Lines that each have their end, the last one if the baseline's has one."""
    end = "\r\n" if baseline.count("\r\n") * 2 > baseline.count("\n") else "\n"
    whole = "".join(line if line.endswith("\n") else line + end for line in lines)
    return whole if baseline.endswith("\n") else whole.removesuffix("\n").removesuffix("\r")
