"""Ways to read the lines of a hunk differently: as if an editor, a page or a terminal had not touched them.

Whether one of them is right, `corrections` decides.
"""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from generator_svc.deltas.hunks import RawHunk
from generator_svc.deltas.look_alikes import plain

ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#39|#x27|#34|#x22);")
GUTTERS = (
    re.compile(r"^[ \t]{0,6}\d{1,6}[ \t]?[|:│][ \t]?"),
    re.compile(r"^[ \t]{0,6}\d{1,6}(?:[ \t]|$)"),
)
INDENTED_MARK = re.compile(r"^(?:([ \t]+)([+-]) ?|()([+-]) )(?=\S)")
ESCAPED_CHARACTER = re.compile(r"\\([_*\[\]])")

Lines = Sequence[str]


@dataclass(frozen=True)
class Correction:
    """One way to read lines differently."""

    name: str
    """What it does, for people; what stands before the colon is its kind."""
    rewrite: Callable[[Lines], Iterable[str]]
    """From the lines of one hunk to as many others."""

    def hunk(self, hunk: RawHunk) -> RawHunk:
        """A hunk, corrected."""
        return replace(hunk, lines=tuple(self.rewrite(hunk.lines)))


def _each(name: str, rewrite: Callable[[str], str]) -> Correction:
    return Correction(name, lambda lines: map(rewrite, lines))


def _entities(line: str) -> str:
    return html.unescape(line) if ENTITY.search(line) else line


def _marks_to_the_front(lines: Lines) -> Iterable[str]:
    if not any(line.startswith((" ", "\t")) and line.lstrip().startswith(("+", "-")) for line in lines):
        return lines
    return [INDENTED_MARK.sub(r"\2\4\1\3", line, count=1) for line in lines]


def _closer_to_the_mark(line: str) -> str:
    return line[0] + line[2:] if line.startswith(("+ ", "- ")) and line[1:].strip() else line


def _farther_from_the_mark(line: str) -> str:
    return f"{line[0]} {line[1:]}" if line.startswith(("+ ", "- ")) and line[1:].strip() else line


def _markdown_escapes(line: str) -> str:
    return ESCAPED_CHARACTER.sub(r"\1", line) if "\\" in line else line


def _carriage_return(line: str) -> str:
    return line.rstrip("\r")


LOOK_ALIKE_CHARACTERS = _each("look-alikes: characters are read as the plain ones", plain)
ENTITIES = _each("entities: HTML entities are read as the characters they stand for", _entities)
OF_ALL_HUNKS = (
    _each("line ends: carriage returns are dropped", _carriage_return),
    LOOK_ALIKE_CHARACTERS,
    ENTITIES,
    Correction("marks: those after the indentation are read as if in front of it", _marks_to_the_front),
    _each("escapes: backslashes of Markdown are dropped", _markdown_escapes),
)
CLOSER = _each("marks: a space after each `+` and `-` is dropped", _closer_to_the_mark)
FARTHER = _each("marks: each `+` and `-` has taken the place of a space", _farther_from_the_mark)


def _gutter(pattern: re.Pattern[str], after_mark: bool) -> Correction:
    def rewrite(lines: Lines) -> list[str]:
        return _without_numbers(lines, pattern, after_mark)

    return Correction("line numbers: those before the lines are dropped", rewrite)


def _without_numbers(lines: Lines, pattern: re.Pattern[str], after_mark: bool) -> list[str]:
    """Lines without numbers before or after their marks; added ones may have blanks in their place."""
    found = [pattern.match(_after(line, after_mark)) for line in lines]
    old = [
        match for line, match in zip(lines, found, strict=True) if line.strip() and not line.startswith("+")
    ]
    if 2 * sum(match is not None for match in old) < len(old):
        return list(lines)  # Who numbers lines numbers them all; a digit that slipped in is none.
    widths = [match.end() for match in found if match]
    width = widths[0] if widths else 0
    added = [_after(line, after_mark) for line in lines if line.startswith("+")]
    have_blanks = not any(text[: min(widths, default=0)].strip() for text in added if not pattern.match(text))
    corrected_lines: list[str] = []
    for line, match in zip(lines, found, strict=True):
        text = _after(line, after_mark)
        mark = line[: len(line) - len(text)]
        width = match.end() if match else width
        is_numbered = match is not None or (mark == "+" and have_blanks)
        corrected_lines.append(mark + text[width:] if is_numbered else line)
    return corrected_lines


def _after(line: str, mark: bool) -> str:
    return line[1:] if mark and line.startswith(("+", "-", " ")) else line


LINE_NUMBERS_IN_FRONT = tuple(_gutter(pattern, after_mark=False) for pattern in GUTTERS)
LINE_NUMBERS_AFTER_MARKS = tuple(_gutter(pattern, after_mark=True) for pattern in GUTTERS)
