"""A search's memory of what was tried: (problem, change, outcome) triples in a sliding window. Pure.

The method is that of arXiv 2603.12091: a frozen model is shown its K latest tries, failures included as
learning signals. Only closed cycles are remembered, so that what is proposed does not depend on the order
in which evaluations end; what the platform lost is nobody's try and is never told. Every text may quote a
model or a candidate: bounded, untrusted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.failures import FailureReason
from contracts.names import SlotState
from contracts.proposals import PastTry
from gateway.domain.candidate import Slot, SlotFailure

MAX_WINDOW = 20
MAX_PROBLEM_CHARACTERS = 600
MAX_CHANGE_LINES = 40
MAX_CHANGE_CHARACTERS = 1500
MAX_OUTCOME_CHARACTERS = 300

_TRIED = {SlotState.JUDGED, SlotState.FAILED, SlotState.REFUSED, SlotState.DUPLICATE}
_TELLING = {
    FailureReason.SYNTAX_ERROR,
    FailureReason.CONTRACT_VIOLATION,
    FailureReason.BUILD_ERROR,
    FailureReason.TRAIN_ERROR,
    FailureReason.PREDICT_ERROR,
    FailureReason.POLICY_VIOLATION,
}
"""Failures whose message is about the code. Others tell times and sizes, which differ from run to run."""


@dataclass(frozen=True)
class FeedbackMemory:
    """How many earlier tries a proposer is shown for each slot. 0: none."""

    window: int = 0


@dataclass(frozen=True)
class TryTexts:
    """The long texts of a try: what a model said was wrong, and its answer as it came."""

    diagnosis: str = ""
    answer: str = ""


def choose_tries(population: Iterable[Slot], root_id: str, before_cycle: int, window: int) -> list[Slot]:
    """The latest tries of the cycles before `before_cycle`, at most `window`, oldest first.

    Those of the lineage of `root_id` come in first, then others.
    """
    tried = [slot for slot in population if 0 < slot.cycle < before_cycle and slot.state in _TRIED]
    tried.sort(key=lambda slot: (slot.root_id == root_id, *_place(slot)), reverse=True)
    return sorted(tried[:window], key=_place)


def past_try(slot: Slot, texts: TryTexts, parent_accuracy: float | None) -> PastTry:
    """The triple of one try."""
    return PastTry(
        problem=_bounded(texts.diagnosis, MAX_PROBLEM_CHARACTERS),
        change=_beginning(slot.delta or texts.answer),
        outcome=_bounded(_outcome(slot, parent_accuracy), MAX_OUTCOME_CHARACTERS),
    )


def accuracies(population: Iterable[Slot]) -> dict[str, float]:
    """By proposal id, what was measured on the selection half."""
    return {slot.proposal_id: slot.score.accuracy for slot in population if slot.score is not None}


def _place(slot: Slot) -> tuple[int, int]:
    return slot.cycle, slot.slot


def _outcome(slot: Slot, parent_accuracy: float | None) -> str:
    if slot.state is SlotState.JUDGED and slot.score is not None:
        baseline = "" if parent_accuracy is None else f", its baseline {_percent(parent_accuracy)}"
        return f"accuracy {_percent(slot.score.accuracy)}{baseline}"
    if slot.state is SlotState.DUPLICATE:
        return f"duplicate of {_copied(slot)}"
    if slot.failure is None:
        return "refused" if slot.state is SlotState.REFUSED else "failed"
    return _failed(slot.failure, refused=slot.state is SlotState.REFUSED)


def _failed(failure: SlotFailure, *, refused: bool) -> str:
    words = [failure.code or failure.reason] if refused else [failure.reason, failure.code]
    if refused or failure.reason in _TELLING:
        words.append(" ".join(failure.message.split()))
    return ": ".join(["refused" if refused else "failed", *filter(None, words)])


def _copied(slot: Slot) -> str:
    """`se_…-c001-s003` → `c001-s003`: what is proposed must not depend on the search's id."""
    if slot.duplicate_of is not None:
        return "-".join(slot.duplicate_of.split("-")[-2:])
    return "an earlier candidate" if slot.likeness is None else slot.likeness.name


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _beginning(text: str) -> str:
    """The first lines, as many as a memory has room for."""
    head = text[: MAX_CHANGE_CHARACTERS + 1]
    lines = head.splitlines()
    shown = "\n".join(lines[:MAX_CHANGE_LINES])
    if len(lines) <= MAX_CHANGE_LINES and len(text) <= MAX_CHANGE_CHARACTERS:
        return shown
    return shown[: MAX_CHANGE_CHARACTERS - 2].rstrip("\n") + "\n…"


def _bounded(text: str, limit: int) -> str:
    clean = text[: limit + 1].strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
