"""Finds the lines of a diff in the answer of a proposer: fences, tags and line endings end here.

An answer becomes a list of sections, cut at Markdown fences and `<delta>` tags. What a section
contains, hunks or prose, is for `hunks` to say. A fence or a tag counts only at the very start of a
line, where no line of a diff can begin with it, so a source that contains fences is not cut.
"""

import re
from dataclasses import dataclass

FENCE = re.compile(r"^(?:`{3,16}|~{3,16})[ \t]*([A-Za-z0-9_+.-]{0,32})[ \t]*$")
TAG = re.compile(r"^<(/?)(?:delta|diff|patch)>[ \t]*$", re.IGNORECASE)

DIFF_LANGUAGES = frozenset({"diff", "patch", "udiff"})


@dataclass(frozen=True)
class Section:
    """Consecutive lines of an answer, without their line ends."""

    lines: tuple[str, ...]
    first_line: int
    """1-based line of the answer at which the section starts."""
    enclosed: bool
    """Inside a fence or a tag: nothing but diff belongs after its first hunk."""
    announced: bool
    """The fence or tag says that this is a diff."""


def sections_of(answer: str) -> list[Section]:
    """Cut an answer into sections, in order; the fences and tags themselves are dropped."""
    lines = _lines_of(answer)
    sections: list[Section] = []
    start, enclosed, announced = 0, False, False
    for index, line in enumerate(lines):
        opening = _delimiter(line, enclosed)
        if opening is None:
            continue
        sections.append(Section(tuple(lines[start:index]), start + 1, enclosed, announced))
        start = index + 1
        enclosed, announced = opening
    sections.append(Section(tuple(lines[start:]), start + 1, enclosed, announced))
    return [section for section in sections if any(section.lines)]


def _lines_of(answer: str) -> list[str]:
    """Split at "\\n" alone. Where every line ends in CRLF, transport did that: the CRs go."""
    lines = answer.removeprefix("\ufeff").split("\n")
    if lines[-1] == "":
        lines.pop()
    if lines and all(line.endswith("\r") for line in lines[:-1]) and len(lines) > 1:
        lines = [line.removesuffix("\r") for line in lines]
    return lines


def _delimiter(line: str, enclosed: bool) -> tuple[bool, bool] | None:
    """(enclosed, announced) of what follows a fence or a tag; None for any other line."""
    if tag := TAG.match(line):
        opens = not tag.group(1)
        return opens, opens
    if fence := FENCE.match(line):
        language = fence.group(1).lower()
        opens = bool(language) or not enclosed
        return opens, language in DIFF_LANGUAGES
    return None
