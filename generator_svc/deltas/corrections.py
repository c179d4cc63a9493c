"""Undoes what editors, web pages and terminals do to text: look-alike characters, entities, line numbers.

A correction applies to a whole delta or not at all, and only on evidence: more of its old lines must
stand in the baseline with it than without. Added lines then get the same correction.
"""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.hunks import RawHunk

LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys(
            "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", " "
        ),
        **dict.fromkeys("\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", None),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        "\u2026": "...",
        "\u00d7": "x",
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    }
)
ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#39|#x27|#34|#x22);")
LONE_AMPERSAND = re.compile(r"&(?!(?:[a-z]{2,8}|#x?[0-9a-fA-F]{1,6});)")
GUTTER = re.compile(r"^\s{0,6}\d{1,6}\s?[|:│]\s?")
NARROW_GUTTER = re.compile(r"^\s{0,6}\d{1,6}(?:[ \t]|$)")
INDENTED_MARK = re.compile(r"^(?:([ \t]+)([+-]) ?|()([+-]) )(?=\S)")
ESCAPED_UNDERSCORE = re.compile(r"\\([_*\[\]])")

Rewrite = Callable[[str], str]


@dataclass(frozen=True)
class Correction:
    """One way to read lines differently. `after_mark` leaves the first character of a line alone."""

    name: str
    rewrite: Rewrite
    after_mark: bool = False

    def line(self, line: str) -> str:
        """One line of a hunk, corrected."""
        if self.after_mark and line.startswith(("+", "-", " ")):
            return line[0] + self.rewrite(line[1:])
        return self.rewrite(line)


def _look_alikes(line: str) -> str:
    return line if line.isascii() else line.translate(LOOK_ALIKES)


def _entities(line: str) -> str:
    return html.unescape(line) if ENTITY.search(line) else line


def _gutter(line: str) -> str:
    return GUTTER.sub("", line, count=1)


def _narrow_gutter(line: str) -> str:
    return NARROW_GUTTER.sub("", line, count=1)


def _mark_to_the_front(line: str) -> str:
    return INDENTED_MARK.sub(r"\2\4\1\3", line, count=1)


def _closer_to_the_mark(line: str) -> str:
    return line[0] + line[2:] if line.startswith(("+ ", "- ")) else line


def _markdown_escapes(line: str) -> str:
    return ESCAPED_UNDERSCORE.sub(r"\1", line) if "\\" in line else line


def _carriage_return(line: str) -> str:
    return line.rstrip("\r")


LOOK_ALIKE_CHARACTERS = Correction("look-alikes: characters are read as the plain ones", _look_alikes)
CORRECTIONS = (
    Correction("line ends: carriage returns are dropped", _carriage_return),
    LOOK_ALIKE_CHARACTERS,
    Correction("entities: HTML entities are read as the characters they stand for", _entities),
    Correction("line numbers: those before the lines are dropped", _gutter),
    Correction("line numbers: those before the lines are dropped", _gutter, after_mark=True),
    Correction("line numbers: those before the lines are dropped", _narrow_gutter),
    Correction("line numbers: those before the lines are dropped", _narrow_gutter, after_mark=True),
    Correction("marks: those after the indentation are read as if in front of it", _mark_to_the_front),
    Correction("marks: a space after each `+` and `-` is dropped", _closer_to_the_mark),
    Correction("escapes: backslashes of Markdown are dropped", _markdown_escapes),
)


def corrected(hunks: Sequence[RawHunk], baseline: Baseline) -> tuple[list[RawHunk], list[str]]:
    """The hunks with all corrections that help, and the names of these."""
    applied: list[str] = []
    hunks = list(hunks)
    evidence = _evidence(hunks, baseline)
    for correction in CORRECTIONS:
        candidate = rewritten(hunks, correction)
        if candidate == hunks:
            continue
        found = _evidence(candidate, baseline)
        if found > evidence or (correction.rewrite is _entities and _escaped_throughout(hunks)):
            hunks, evidence = candidate, found
            applied.append(correction.name)
    return hunks, applied


def rewritten(hunks: Iterable[RawHunk], correction: Correction) -> list[RawHunk]:
    """Every line of the hunks, corrected."""
    return [replace(hunk, lines=tuple(map(correction.line, hunk.lines))) for hunk in hunks]


def _evidence(hunks: Iterable[RawHunk], baseline: Baseline) -> tuple[int, int]:
    """How many old lines the baseline knows; where that is equal, how many it has character by character."""
    known = exact = 0
    for hunk in hunks:
        for line in hunk.lines:
            if line.startswith("+"):
                continue
            text = line[1:] if line.startswith(("-", " ")) else line
            if baseline.is_known(text):
                known += 1
                exact += text in baseline.exact or line in baseline.exact
            elif line.startswith("-") and text.strip():
                known -= 1
    return known, exact


def _escaped_throughout(hunks: Iterable[RawHunk]) -> bool:
    """No character that HTML escapes is left bare: then all were escaped."""
    return not any(
        "<" in line or ">" in line or LONE_AMPERSAND.search(line) for hunk in hunks for line in hunk.lines
    )
