"""Takes the texts out of JSON in an answer: a tool's call holds its delta as a string."""

import json
import re
from collections.abc import Iterator

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
    """The answer with each JSON value that holds a diff replaced by all texts of several lines in it."""
    parts: list[str] = []
    at = 0
    for start, end, text in _diffs_in_json(answer):
        parts += answer[at:start], text
        at = end
    return "".join(parts) + answer[at:]


def _diffs_in_json(answer: str) -> Iterator[tuple[int, int, str]]:
    """Where each such value starts, where what follows it does, and its texts."""
    at = 0
    for _ in range(MAX_OPENINGS):
        header = DIFF_HEADER.search(answer, at)
        opening = OPENING.search(answer, at, header.start() if header else len(answer))
        if opening is None:
            return
        at = opening.end() + 1
        decoder = json.JSONDecoder() if answer[opening.end()] == '"' else BROKEN_STRINGS_TOO
        try:
            value, end = decoder.raw_decode(answer, opening.end())
        except (ValueError, RecursionError):
            continue
        texts = [text.removesuffix("\n") + "\n" for text in _texts(value) if "\n" in text]
        if any(map(CHANGE.search, texts)):
            at = end + answer.startswith("\n", end)
            yield opening.start(), at, "\n".join(texts)


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
