"""What each line of a hunk means: context, removed or added, and its text.

A line says it with its first character. Where that is missing, the baseline says it: a line that stands
there is context. What neither says stays open (`is_marked` is false), for `alignment` to decide.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from generator_svc.deltas.baseline import BLANK, Baseline, indent_of, key_of
from generator_svc.deltas.hunks import MARKER, RawHunk

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

    @property
    def is_elision(self) -> bool:
        """It stands for lines left out."""
        return self.mark == CONTEXT and ELISION.match(self.text.strip()) is not None


@dataclass(frozen=True)
class WrittenHunk:
    """A hunk whose lines have been read one by one."""

    raw: RawHunk
    lines: tuple[Line, ...]

    @property
    def number(self) -> int:
        """1-based, as they came."""
        return self.raw.number


def read_lines(raw: RawHunk, baseline: Baseline) -> WrittenHunk:
    """Read one hunk's lines."""
    lines: list[Line] = []
    for line in raw.lines:
        if line.startswith(MARKER):
            lines[-1:] = [replace(last, unended=True) for last in lines[-1:]]
        else:
            lines.append(_line(line, baseline))
    return WrittenHunk(raw, _with_texts_in_doubt(lines, baseline))


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

    By its indentation, if only one of both is whole; else as most lines of the hunk have it.
    """
    sure = [line for line in lines if line.mark == CONTEXT and line.key]
    with_mark = sum(line.is_marked for line in sure)
    bare = sum(line.text in baseline.exact for line in sure if not line.is_marked)
    marks_are_there = with_mark >= bare
    return tuple(
        line
        if line.is_marked or line.text in baseline.exact or not line.text.startswith(CONTEXT)
        else _undoubted(line, marks_are_there, baseline.indent_unit)
        for line in lines
    )


def _undoubted(line: Line, marks_are_there: bool, unit: int) -> Line:
    width = len(indent_of(line.text))
    whole, whole_without_mark = width % unit == 0, (width - 1) % unit == 0
    has_mark = whole_without_mark if whole != whole_without_mark else marks_are_there
    return replace(line, text=line.text[1:], is_marked=True) if has_mark else line
