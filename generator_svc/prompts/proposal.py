"""Asks a language model for a change of a baseline, and writes the answer that it should give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.chats import ChatMessage
from contracts.proposals import AnswerForm
from generator_svc.prompts.assignment import Assignment, written_out
from generator_svc.prompts.fences import fence_around
from generator_svc.prompts.versions import NEWEST, WORD_SETS, WordSet
from generator_svc.prompts.words import words_of

PROMPT_VERSION = NEWEST.delta
"""Of training pairs, and of a search whose answers are deltas, unless it asks for another."""


@dataclass(frozen=True)
class Prompt:
    """What is said to a model, and the version of the words."""

    version: str
    messages: tuple[ChatMessage, ...]


def proposal_prompt(form: AnswerForm, assignment: Assignment, words: WordSet = NEWEST) -> Prompt:
    """Asks for a proposal. Of a data set and an accuracy alone it is the prompt of a training pair."""
    version = words.proposal(form)
    return Prompt(version, written_out(version, assignment))


def diagnosis_prompt(assignment: Assignment, words: WordSet = NEWEST) -> Prompt:
    """Asks what limits the baseline, and what to change: the Prompt Improver of arXiv 2603.12091."""
    return Prompt(words.diagnosis, written_out(words.diagnosis, replace(assignment, diagnosis="")))


def delta_prompt(
    baseline_source: str, dataset: str, accuracy: float | None = None
) -> tuple[ChatMessage, ChatMessage]:
    """The system turn and the user's. `accuracy` is the baseline's after one epoch, in [0, 1], if known.

    The source stands there as it is, line by line, in a fence that it cannot close.
    """
    return written_out(PROMPT_VERSION, Assignment(baseline_source, dataset, accuracy))


def delta_answer(delta: str) -> ChatMessage:
    """The turn that answers with a canonical delta."""
    return ChatMessage("assistant", f"```diff\n{delta}```")


def source_answer(source: str) -> ChatMessage:
    """The turn that answers with a whole source."""
    end = "" if source.endswith("\n") else "\n"
    return ChatMessage("assistant", f"```python\n{source}{end}```")


def baseline_of_prompt(messages: Sequence[ChatMessage]) -> str | None:
    """The baseline that a delta is asked for, read back from a prompt; None if these are not our words.

    It ends with a newline, whether the source that was asked about did or not.
    """
    found = (_baseline_in(messages, words.delta) for words in WORD_SETS)
    return next((source for source in found if source is not None), None)


def version_of_prompt(messages: Sequence[ChatMessage]) -> str | None:
    """The version of the words in which a delta is asked for; None if they are not ours."""
    versions = (words.delta for words in WORD_SETS)
    return next((version for version in versions if _baseline_in(messages, version) is not None), None)


def _baseline_in(messages: Sequence[ChatMessage], version: str) -> str | None:
    words = words_of(version)
    roles = [message.role for message in messages[:2]]
    if roles != ["system", "user"] or messages[0].content != words["system"]:
        return None
    _, _, quoted = messages[1].content.partition(f"{words['baseline']}\n")
    opening, _, rest = quoted.partition("\n")
    fence = opening.removesuffix("python")
    source, closing, after = rest.partition(f"\n{fence}\n")
    source += "\n"
    is_ours = closing and fence == fence_around(source) and after.endswith(words["request"])
    return source if is_ours else None
