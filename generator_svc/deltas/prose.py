"""Tells a sentence for people from a line of code."""

import keyword
import re

from contracts.syntax import parse

LONGEST_SENTENCE = 2000

BULLET = re.compile(r"^(?:[-*+•]|\d{1,3}[.)]|#{2,6})[ \t]{1,4}")
SENTENCE = re.compile(r"[A-Za-z'’`*]{1,40},? [A-Za-z'’`*]{1,40},? [A-Za-z'’`*]{1,40}")
CODE = re.compile(r"=|[({\[,]$|\w\(.*\)$|\w\.\w")
CAPTION = re.compile(r"^[*_`]{0,3}[A-Z][A-Za-z' ]{1,60}[.:!][*_`]{0,3}$")


def is_remark(line: str) -> bool:
    """Whether a line inside a hunk is said to people: prose, in brackets too, or a foreign comment."""
    text = line.strip()
    if text.startswith(("<!--", "//", "/*", "**", "=>", "-->", "←", "→")):
        return True
    if text.startswith(("(", "[", "<")) and text.endswith((")", "]", ">")):
        text = text[1:-1]
    return is_prose(text.strip("*_~ "))


def is_prose(line: str) -> bool:
    """Whether a line reads as a sentence, a caption or a point of a list, and not as Python."""
    text = BULLET.sub("", line.strip()[:LONGEST_SENTENCE]).strip()
    if not (SENTENCE.search(text) or CAPTION.match(text)) or text.startswith("#") or CODE.search(text):
        return False
    first_word = text.split(maxsplit=1)[0].rstrip(":")
    return first_word not in keyword.kwlist and not _is_statement(text)


def _is_statement(text: str) -> bool:
    try:
        parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
