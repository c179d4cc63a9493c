"""Takes the texts out of JSON in an answer: a tool's call holds its delta as a string."""

import json
import re
from collections.abc import Iterator
from itertools import islice

OPENING = re.compile(r'^[ \t]{0,8}(?=["{\[])', re.MULTILINE)
"""Where a line begins that may be the first of a JSON value."""
DIFF_HEADER = re.compile(r"^(?:@@|--- |\+\+\+ |diff --git )", re.MULTILINE)
"""Behind the first one, what looks like JSON is a line of a source."""
CHANGE = re.compile(r"^(?:@@|[+-]|<<<<<<<)", re.MULTILINE)
MAX_OPENINGS = 20
"""Lines from which a value is tried to be read: each try may look at the whole answer."""
BROKEN_STRINGS_TOO = json.JSONDecoder(strict=False)
"""Reads objects whose strings have bare line ends: what surrounds them leaves no doubt where they end."""


def out_of_json(answer: str) -> str:
    """The answer with its first JSON value that holds a diff replaced by all texts of several lines in it."""
    header = DIFF_HEADER.search(answer)
    last = header.start() if header else len(answer)
    for opening in islice(OPENING.finditer(answer, 0, last), MAX_OPENINGS):
        start = opening.end()
        decoder = json.JSONDecoder() if answer[start] == '"' else BROKEN_STRINGS_TOO
        try:
            value, end = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            continue
        texts = [text.removesuffix("\n") + "\n" for text in _texts(value) if "\n" in text]
        if any(map(CHANGE.search, texts)):
            return answer[: opening.start()] + "\n".join(texts) + answer[end:].removeprefix("\n")
    return answer


def _texts(value: object) -> Iterator[str]:
    """All strings in a value, in order; one that is JSON itself gives those in it."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending.extend(reversed(one.values()))
        elif isinstance(one, list):
            pending.extend(reversed(one))
        elif isinstance(one, str) and (inner := _container(one)) is not None:
            pending.append(inner)
        elif isinstance(one, str):
            yield one


def _container(text: str) -> object | None:
    """What a text says that is a JSON object or array and nothing else."""
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
