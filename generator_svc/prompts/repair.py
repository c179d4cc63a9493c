"""Tells a language model why its delta was refused, and shows it what it needs to do better.

All text of the model or of a candidate stands in fences that it cannot close, and is bounded.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from contracts.jobs import AppliedDelta
from contracts.syntax import parse
from generator_svc.deltas import canonical_delta
from generator_svc.deltas.diagnosis import FailedHunk, failed_hunk
from generator_svc.deltas.refusals import DeltaRefused
from generator_svc.deltas.understanding import understand
from generator_svc.prompts.fences import BACKTICKS, fence_around

PROMPT_FILE = "repair_v1.yaml"
MAX_PROMPT_CHARACTERS = 6_000

MAX_MESSAGE = 900
MAX_QUOTED = 1_400
"""Characters of one quotation."""
MAX_LINE = 160
CONTEXT_LINES = 3
UNPRINTABLE = re.compile(r"[^\t\x20-\x7e\u00a1-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LONGEST_RUN = 8


def repair_prompt(baseline_source: str, delta: str, applied: AppliedDelta) -> str:
    """The prompt for a refused delta, at most 6,000 characters; empty if it was applied. Never raises.

    `applied` is what `apply_delta` said of the same baseline and delta.
    """
    if applied.status != "refused":
        return ""
    words = _words()
    number = next((hunk.number for hunk in applied.hunks if hunk.status == "refused"), None)
    parts = [
        words["opening"].format(reason=applied.reason, message=_printable(applied.message)[:MAX_MESSAGE]),
        words["advice"].get(applied.reason, ""),
        words["quoted_note"],
    ]
    hunk = failed_hunk(baseline_source, delta, number) if number is not None else None
    if hunk is not None:
        parts += [words["real_lines"], _fenced(_excerpts(hunk))] if hunk.windows else []
        parts += [words["failing_part"], _fenced(hunk.written)]
    elif applied.hunks:
        parts += _attempt(baseline_source, delta, words)
    parts.append(words["closing"])
    return "\n\n".join(part for part in parts if part)[:MAX_PROMPT_CHARACTERS]


@cache
def _words() -> dict[str, Any]:
    return yaml.safe_load(files(__package__).joinpath(PROMPT_FILE).read_text(encoding="utf-8"))


def _excerpts(hunk: FailedHunk) -> Iterable[str]:
    for number, (start, stop) in enumerate(hunk.windows):
        if number:
            yield "…"
        for index in range(start, stop):
            yield f"{index + 1:5d}  {hunk.baseline[index]}"


def _attempt(baseline_source: str, delta: str, words: dict[str, Any]) -> list[str]:
    """What the delta led to, where it led to something: the lines around a syntax error, or the change."""
    try:
        result = understand(baseline_source, delta).source
    except DeltaRefused:
        return []
    line = _line_of_error(result)
    if line is None:
        return [words["attempted_change"], _fenced(canonical_delta(baseline_source, result).split("\n"))]
    lines = result.split("\n")
    first, last = max(0, line - 1 - 2 * CONTEXT_LINES), min(len(lines), line + CONTEXT_LINES)
    shown = (f"{index + 1:5d}  {lines[index]}" for index in range(first, last))
    return [words["attempted"], _fenced(shown)]


def _line_of_error(source: str) -> int | None:
    try:
        parse(source)
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return None


def _fenced(lines: Iterable[str] | Sequence[str]) -> str:
    """Lines in a fence longer than any run of backticks in them, at most MAX_QUOTED characters."""
    kept: list[str] = []
    size = 0
    for line in lines:
        shown = BACKTICKS.sub(lambda run: run.group()[:LONGEST_RUN], _printable(line))[:MAX_LINE]
        size += len(shown) + 1
        if size > MAX_QUOTED:
            kept.append("…")
            break
        kept.append(shown)
    text = "\n".join(kept)
    fence = fence_around(text)
    return f"{fence}text\n{text}\n{fence}"


def _printable(text: str) -> str:
    """Text with control characters, lone surrogates and the like escaped."""
    return UNPRINTABLE.sub(
        lambda found: found.group().encode("unicode_escape").decode(), text[: 4 * MAX_QUOTED]
    )
