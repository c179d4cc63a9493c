"""Markdown fences around text that nobody has vouched for, and what such text is made fit for them."""

import re
from collections.abc import Iterable, Iterator

BACKTICKS = re.compile(r"`+")
FENCE_LIKE = re.compile(r"^[ \t]*(`+)|(`+)", re.MULTILINE)
"""Runs of backticks that begin a line, and others."""
TURN_MARK = re.compile(
    r"<(?=[|\uff5c])|[|\uff5c](?=>)|<(?=/?s>|/?SYS>|(?:start|end)_of_turn>|(?:bos|eos)>)|\[(?=/?INST\])"
)
"""The first character of what tokenizers know as the beginning or end of a turn."""

MAX_QUOTED = 1_400
"""Characters of one quotation."""
MAX_LINE = 160
LONGEST_RUN = 8
LONGEST_INLINE = 16
"""Backticks within a line close no fence: of a longer run so many count, lest a comment makes fences long."""


def fence_around(text: str) -> str:
    """A fence of backticks that nothing in the text can close: longer than any run that begins a line."""
    runs = FENCE_LIKE.findall(text)
    longest = max((max(len(first), min(len(inner), LONGEST_INLINE)) for first, inner in runs), default=0)
    return "`" * max(3, longest + 1)


def fenced_source(source: str) -> str:
    """A source as it is, line by line, in a fence that it cannot close."""
    fence = fence_around(source)
    end = "" if source.endswith("\n") else "\n"
    return f"{fence}python\n{source}{end}{fence}"


def quotation(lines: Iterable[str], limit: int = MAX_QUOTED) -> str:
    """Lines made harmless, at most `limit` characters of them, in a fence that they cannot close."""
    kept: list[str] = []
    size = 0
    for line in lines:
        shown = BACKTICKS.sub(lambda run: run.group()[:LONGEST_RUN], printable(line, MAX_LINE))
        size += len(shown) + 1
        if size > limit:
            kept.append("…")
            break
        kept.append(shown)
    text = "\n".join(kept)
    fence = fence_around(text)
    return f"{fence}text\n{text}\n{fence}"


def printable(text: str, limit: int) -> str:
    """At most `limit` characters, with marks of turns broken up and all that nobody sees written out.

    That is control characters, halves of surrogate pairs, and characters without a form: people would
    overlook what a model reads in them.
    """
    shown = "".join(
        character if character == "\t" or character.isprintable() else _escaped(character)
        for character in text[:limit]
    )
    return without_turn_marks(shown)[:limit]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def without_turn_marks(text: str) -> str:
    """Text in which nothing is the beginning or end of a turn any more."""
    return TURN_MARK.sub(lambda mark: f"{mark.group()} ", text)


def wrapped(text: str, width: int = 110) -> Iterator[str]:
    """A long line as several: of a quotation, no line is longer than so much."""
    line = ""
    for word in text.split(" "):
        if line and len(line) + len(word) >= width:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
        while len(line) > width:
            yield line[:width]
            line = line[width:]
    if line:
        yield line
