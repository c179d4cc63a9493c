"""Markdown fences around text that nobody has vouched for, and what such text is made fit for them."""

import re
from collections.abc import Iterable

BACKTICKS = re.compile(r"`+")
UNPRINTABLE = re.compile(r"[^\t\x20-\x7e\u00a1-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TURN_MARK = re.compile(r"<\||\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")
"""What tokenizers know as the beginning or end of a turn."""

MAX_QUOTED = 1_400
"""Characters of one quotation."""
MAX_LINE = 160
LONGEST_RUN = 8


def fence_around(text: str) -> str:
    """A fence of backticks that nothing in the text can close: longer than any run of them."""
    longest = max((len(run) for run in BACKTICKS.findall(text)), default=0)
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
    """At most `limit` characters, with control characters, lone surrogates and marks of turns broken up."""
    shown = UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text[:limit])
    return without_turn_marks(shown)[:limit]


def without_turn_marks(text: str) -> str:
    """Text in which nothing is the beginning or end of a turn any more."""
    return TURN_MARK.sub(lambda mark: f"{mark.group()[0]} {mark.group()[1:]}", text)
