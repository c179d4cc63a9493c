"""What each line of a hunk means: context, removed or added, and its text.

A line says it with its first character. Where that is missing, the baseline says it: a line that stands
there is context. What neither says stays open (`is_marked` is false), for `alignment` to decide.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from generator_svc.deltas.baseline import BLANK, Baseline, indent_of, key_of
from generator_svc.deltas.hunk_ends import MARKER
from generator_svc.deltas.hunks import RawHunk

CONTEXT, REMOVED, ADDED = " ", "-", "+"

ELISION = re.compile(
    r"^(?:(?:#|//|/\*)?\s{0,3}(?:\.{3,}|…)"
    r"|(?:#|//)\s{0,3}.{0,40}?\b(?:rest|remaining|remains|existing|unchanged|same as|omitted|as before)\b)",
    re.IGNORECASE,
)
"""A line that stands for lines left out."""


@dataclass(frozen=True)
class Line:
    """One line of a hunk. `text` is as it was written, without its mark; `key` its visible characters."""

    mark: str
    text: str
    key: str
    is_marked: bool = True
    """False where the mark was forgotten or is in doubt."""
    unended: bool = False
    """The file ends here without a newline."""

    @property
    def is_blank(self) -> bool:
        """Nothing visible in it."""
        return self.key == BLANK

    @property
    def is_old(self) -> bool:
        """The line claims to stand in the baseline."""
        return self.mark != ADDED

    @cached_property
    def is_elision(self) -> bool:
        """It is context that stands for lines left out."""
        return self.mark == CONTEXT and self.is_placeholder

    @property
    def is_placeholder(self) -> bool:
        """It reads as if it stood for lines left out, whatever its mark."""
        return ELISION.match(self.text.strip()) is not None


@dataclass(frozen=True)
class WrittenHunk:
    """A hunk whose lines have been read one by one."""

    raw: RawHunk
    lines: tuple[Line, ...]
    is_broken: bool = False
    """The answer broke off within a last line of context, which is left out here."""

    @property
    def number(self) -> int:
        """1-based, as they came."""
        return self.raw.number

    @property
    def has_lost_marks(self) -> bool:
        """Whether the baseline had to say of any visible line what it means."""
        return not all(line.is_marked for line in self.lines if line.key)


def read_lines(raw: RawHunk, baseline: Baseline) -> WrittenHunk:
    """Read one hunk's lines."""
    lines: list[Line] = []
    for line in raw.lines:
        if line.startswith(MARKER):
            lines[-1:] = [replace(last, unended=True) for last in lines[-1:]]
        else:
            lines.append(_line(line, baseline))
    is_broken = raw.broken and bool(lines) and _is_beginning(lines[-1], baseline)
    if is_broken:
        lines.pop()
    return WrittenHunk(raw, _with_texts_in_doubt(lines, baseline), is_broken)


def _is_beginning(line: Line, baseline: Baseline) -> bool:
    """Whether context is no line of the baseline but what one of them begins with."""
    if line.mark != CONTEXT or not line.key or line.key in baseline.positions:
        return False
    return any(key.startswith(line.key) for key in baseline.positions)


def _line(line: str, baseline: Baseline) -> Line:
    mark, text = line[:1], line[1:]
    if mark in {ADDED, REMOVED}:
        if mark == REMOVED and not baseline.is_known(text) and line in baseline.exact:
            return Line(CONTEXT, line, key_of(line), is_marked=False)
        return Line(mark, text, key_of(text))
    if mark == CONTEXT and (text in baseline.exact or not text.strip()):
        return Line(CONTEXT, text, key_of(text))
    return Line(CONTEXT, line, key_of(line), is_marked=False)


def _with_texts_in_doubt(lines: Sequence[Line], baseline: Baseline) -> tuple[Line, ...]:
    """Decide whether the first space of a line is its mark or its text.

    By its indentation, if only one of both is a whole number of levels or stands below an open bracket; else
    as it is in the other lines in doubt; else as it is in the context.
    """
    doubtful = {
        index
        for index, line in enumerate(lines)
        if not line.is_marked and line.text.startswith(CONTEXT) and line.text not in baseline.exact
    }
    if not doubtful:
        return tuple(lines)
    votes = {index: _has_mark(lines, index, baseline) for index in doubtful}
    cast = [vote for vote in votes.values() if vote is not None]
    sure = [line for line in lines if line.mark == CONTEXT and line.key]
    marked = sum(line.is_marked for line in sure)
    bare = sum(line.text in baseline.exact for line in sure if not line.is_marked)
    usual = 2 * sum(cast) >= len(cast) if cast else marked >= bare
    return tuple(
        replace(line, text=line.text[1:], is_marked=True)
        if index in doubtful and (usual if votes[index] is None else votes[index])
        else line
        for index, line in enumerate(lines)
    )


def _has_mark(lines: Sequence[Line], index: int, baseline: Baseline) -> bool | None:
    """What the indentation of one line says; None if nothing."""
    width = len(indent_of(lines[index].text))
    bare, marked = baseline.is_level(width), baseline.is_level(width - 1)
    found = baseline.positions.get(lines[index].key, [])
    is_at_level = any(baseline.is_level(len(indent_of(baseline.lines[at]))) for at in found) or not found
    if (bare == marked or not is_at_level) and index:
        column = _open_bracket(lines[index - 1].text)
        bare, marked = width == column, width - 1 == column
    return None if bare == marked else marked


def _open_bracket(text: str) -> int | None:
    """The column behind the last bracket that the line leaves open; None without one."""
    depth = 0
    for column in range(len(text) - 1, -1, -1):
        if text[column] in ")]}":
            depth += 1
        elif text[column] in "([{":
            if not depth:
                return column + 1
            depth -= 1
    return None
