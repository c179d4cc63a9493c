"""Tells a language model why its answer was refused, and shows it what it needs to do better.

All text of the model or of a candidate stands in fences that it cannot close, and is bounded.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from contracts.chats import ChatMessage
from contracts.jobs import AppliedDelta
from contracts.proposals import AnswerForm
from contracts.syntax import parse
from generator_svc.deltas import canonical_delta
from generator_svc.deltas.diagnosis import FailedHunk, failed_hunk
from generator_svc.deltas.refusals import DeltaRefused
from generator_svc.deltas.understanding import understand
from generator_svc.deltas.whole_sources import network_in
from generator_svc.prompts.fences import printable, quotation, without_turn_marks, wrapped
from generator_svc.prompts.versions import NEWEST
from generator_svc.prompts.words import Words, words_of

REPAIR_VERSION = NEWEST.repair
MAX_PROMPT_CHARACTERS = 6_000
MAX_FAILED_ANSWER = 16_000
"""Characters of a refused answer that its model is shown again."""

MAX_MESSAGE = 900
CONTEXT_LINES = 3


def repair_conversation(asked: Sequence[ChatMessage], answer: str, prompt: str) -> tuple[ChatMessage, ...]:
    """A prompt, what a model answered to it (bounded), and the repair prompt, to be answered anew."""
    shown = answer if len(answer) <= MAX_FAILED_ANSWER else f"{answer[:MAX_FAILED_ANSWER]}\n…"
    return (*asked, ChatMessage("assistant", without_turn_marks(shown)), ChatMessage("user", prompt))


def repair_prompt(
    baseline_source: str,
    answer: str,
    applied: AppliedDelta,
    form: AnswerForm = AnswerForm.DELTA,
    version: str = REPAIR_VERSION,
) -> str:
    """The prompt for a refused answer, at most 6,000 characters; empty if it was applied. Never raises.

    `applied` is what became of the same baseline and answer.
    """
    if applied.status != "refused":
        return ""
    words = words_of(version)
    message = printable(applied.message, MAX_MESSAGE)
    parts = [
        words["opening"][form].format(reason=applied.reason, message=message),
        _said_for(form, words["advice"].get(applied.reason, "")),
        words["quoted_note"],
    ]
    if "in_words" in words and message.strip():
        parts += [words["in_words"], quotation(wrapped(message))]
    number = next((hunk.number for hunk in applied.hunks if hunk.status == "refused"), None)
    hunk = failed_hunk(baseline_source, answer, number) if number is not None else None
    if hunk is not None:
        parts += [words["real_lines"], quotation(_excerpts(hunk))] if hunk.windows else []
        parts += [words["failing_part"], quotation(hunk.written)]
    elif applied.hunks or form is AnswerForm.SOURCE:
        parts += _attempt(baseline_source, _result(baseline_source, answer, form), words)
    parts.append(words["closing"][form])
    return "\n\n".join(part for part in parts if part)[:MAX_PROMPT_CHARACTERS]


def _said_for(form: AnswerForm, advice: Any) -> str:
    return str(advice[form] if isinstance(advice, dict) else advice)


def _excerpts(hunk: FailedHunk) -> Iterable[str]:
    for number, (start, stop) in enumerate(hunk.windows):
        if number:
            yield "…"
        for index in range(start, stop):
            yield f"{index + 1:5d}  {hunk.baseline[index]}"


def _result(baseline_source: str, answer: str, form: AnswerForm) -> str | None:
    """The source that an answer leads to, where it leads to one."""
    try:
        if form is AnswerForm.SOURCE:
            return network_in(answer, baseline_source)
        return understand(baseline_source, answer).source
    except DeltaRefused:
        return None


def _attempt(baseline_source: str, result: str | None, words: Words) -> list[str]:
    """The lines around a syntax error, or the change."""
    if result is None:
        return []
    line = _line_of_error(result)
    if line is None:
        change = canonical_delta(baseline_source, result)
        return [words["attempted_change"], quotation(change.removesuffix("\n").split("\n"))] if change else []
    lines = result.split("\n")
    first, last = max(0, line - 1 - 2 * CONTEXT_LINES), min(len(lines), line + CONTEXT_LINES)
    shown = (f"{index + 1:5d}  {lines[index]}" for index in range(first, last))
    return [words["attempted"], quotation(shown)]


def _line_of_error(source: str) -> int | None:
    try:
        parse(source)
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return None
