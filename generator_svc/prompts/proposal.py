"""Asks a language model for a change of a baseline, and writes the answer that it should give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.chats import ChatMessage
from contracts.proposals import AnswerForm
from generator_svc.prompts.assignment import Assignment, written_out
from generator_svc.prompts.fences import fence_around
from generator_svc.prompts.words import words_of

PROMPT_VERSION = "delta_v2"
"""Of training pairs, and of a search whose answers are deltas."""
VERSIONS = {AnswerForm.DELTA: PROMPT_VERSION, AnswerForm.SOURCE: "source_v1"}
DIAGNOSIS_VERSION = "diagnosis_v1"


@dataclass(frozen=True)
class Prompt:
    """What is said to a model, and the version of the words."""

    version: str
    messages: tuple[ChatMessage, ...]


def proposal_prompt(form: AnswerForm, assignment: Assignment) -> Prompt:
    """Asks for a proposal. Of a data set and an accuracy alone it is the prompt of a training pair."""
    return Prompt(VERSIONS[form], written_out(VERSIONS[form], assignment))


def diagnosis_prompt(assignment: Assignment) -> Prompt:
    """Asks what limits the baseline, and what to change: the Prompt Improver of arXiv 2603.12091."""
    return Prompt(DIAGNOSIS_VERSION, written_out(DIAGNOSIS_VERSION, replace(assignment, diagnosis="")))


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
    """The baseline that a delta is asked for, read back from a prompt; None if these are not its words.

    It ends with a newline, whether the source that was asked about did or not.
    """
    words = words_of(PROMPT_VERSION)
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
