"""Finds the lines of a diff in the answer of a proposer: fences, tags and line endings end here.

An answer becomes a list of sections, cut at Markdown fences and `<delta>` tags. What a section
contains, hunks or prose, is for `hunks` to say. A fence or a tag counts only at the very start of a
line, where no line of a diff can begin with it, so a source that contains fences is not cut.
"""

import re
from dataclasses import dataclass, replace

from generator_svc.deltas.json_answers import out_of_json

FENCE = re.compile(r"^(?:`{3,16}|~{3,16})[ \t]*(\{?\.?[A-Za-z0-9_+.-]{0,32})[^`~]{0,80}$")
TAG = re.compile(r"^<(/?)(?:delta|diff|patch|answer)>[ \t]*$", re.IGNORECASE)
OPENING_TAG = re.compile(r"^(<(?:delta|diff|patch|answer)>)[ \t]*(?=\S)", re.IGNORECASE | re.MULTILINE)
CLOSING_TAG = re.compile(r"(?<=[^\n])(</(?:delta|diff|patch|answer)>[ \t]*)$", re.IGNORECASE | re.MULTILINE)
THOUGHT = "</think>"
FENCE_STUMP = re.compile(r"^(?:`{1,2}|~{1,2})$")
COLOUR = re.compile(r"\x1b\[[0-9;]{0,16}m")
MARGIN = re.compile(r"^((?:> ?|[ \t]){1,12})(?=@@|--- \S|\+\+\+ \S|diff --git )")

HEADER = re.compile(r"@@|--- \S|\+\+\+ \S")
LEAST_DOUBLED_LINES = 4

DIFF_LANGUAGES = frozenset({"diff", "patch", "udiff"})

Opening = tuple[bool, bool]
"""(enclosed, announced) of a section."""


@dataclass(frozen=True)
class Section:
    """Consecutive lines of an answer, without their line ends."""

    lines: tuple[str, ...]
    enclosed: bool
    """Inside a fence or a tag: nothing but diff belongs after its first hunk."""
    announced: bool
    """The fence or tag says that this is a diff."""
    cut: bool = False
    """The answer ends here, without closing the fence or tag or without a newline."""
    broken: bool = False
    """Its last line has no newline: it may be the beginning of one."""


def sections_of(answer: str) -> list[Section]:
    """Cut an answer into sections, in order; the fences and tags themselves are dropped."""
    answer = _without_wrapping(answer)
    lines = _lines_of(answer)
    sections: list[Section] = []
    start, opening = 0, (False, False)
    for index, line in enumerate(lines):
        following = _delimiter(line, opening[0])
        if following is None:
            continue
        sections.append(_section(lines, start, index, opening))
        start, opening = index + 1, following
    broken = not answer.endswith("\n")
    last = _section(lines, start, len(lines), opening, opening[0] or broken)
    sections.append(replace(last, broken=broken and last.cut))
    return [section for section in sections if any(section.lines)]


def _section(lines: list[str], start: int, end: int, opening: Opening, cut: bool = False) -> Section:
    if cut and end > start and FENCE_STUMP.match(lines[end - 1]):
        end, cut = end - 1, False  # the beginning of the closing fence
    return Section(_without_margin(_single_spaced(lines[start:end])), *opening, cut)


def _without_wrapping(answer: str) -> str:
    """Undo what a transport did to the whole answer; each sign of it stands where no diff can have it."""
    answer = out_of_json(answer.removeprefix("\ufeff"))
    if COLOUR.search(answer):
        answer = COLOUR.sub("", answer)
    thought = max(answer.rfind(f"\n{THOUGHT}"), 0 if answer.startswith(THOUGHT) else -1)
    if thought >= 0:
        answer = answer[answer.index(THOUGHT, thought) + len(THOUGHT) :].lstrip("\r\n")
    if "<" in answer and (OPENING_TAG.search(answer) or any(map(TAG.match, answer.split("\n")))):
        answer = CLOSING_TAG.sub(r"\n\1", OPENING_TAG.sub(r"\1\n", answer))
    return answer


def _lines_of(answer: str) -> list[str]:
    """Split at "\\n" alone. Where every line ends in CRLF, transport did that: the CRs go."""
    lines = answer.split("\n")
    if lines[-1] == "":
        lines.pop()
    if lines and all(line.endswith("\r") for line in lines[:-1]) and len(lines) > 1:
        lines = [line.removesuffix("\r") for line in lines]
    return lines


def _single_spaced(lines: list[str]) -> list[str]:
    """Drop every second line where all of these are empty, even behind the headers of a diff."""
    first = next((index for index, line in enumerate(lines) if line), 0)
    written, between = lines[first::2], lines[first + 1 :: 2]
    if len(written) < LEAST_DOUBLED_LINES or any(between) or not any(map(HEADER.match, written)):
        return lines
    return written


def _without_margin(lines: list[str]) -> tuple[str, ...]:
    """Drop what stands before every line of a quoted or indented diff."""
    margin = next((found.group(1) for found in map(MARGIN.match, lines) if found), "")
    if not margin or any(line.startswith(("@@", "--- ", "+", "-")) for line in lines):
        return tuple(lines)
    bare = margin.strip()
    return tuple("" if line.strip() == bare else line.removeprefix(margin) for line in lines)


def _delimiter(line: str, enclosed: bool) -> Opening | None:
    """What follows a fence or a tag; None for any other line."""
    if not line.startswith(("<", "`", "~")):
        return None
    if tag := TAG.match(line):
        opens = not tag.group(1)
        return opens, opens
    if fence := FENCE.match(line.removesuffix("\r")):
        language = fence.group(1).lower().lstrip("{.")
        opens = bool(language) or not enclosed
        return opens, language in DIFF_LANGUAGES
    return None
