"""What a model is told of one task: alike for deltas and whole sources, in searches and in training pairs."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

from contracts.chats import ChatMessage
from contracts.proposals import (
    DataShape,
    DeploymentLimits,
    EditPermissions,
    PastTry,
    ProposalRequest,
    ProposalSlot,
)
from generator_svc.prompts.fences import fenced_source, printable, quotation, without_turn_marks, wrapped
from generator_svc.prompts.words import Words, words_of

MAX_PROMPT_BYTES = 96 * 1024
"""Of both turns together, with a source as long as sources may be. What is too much goes from the history."""
MAX_HISTORY_BYTES = 16 * 1024
"""Of all tries together. The oldest give way first."""
MAX_PROBLEM, MAX_CHANGE, MAX_OUTCOME = 600, 1_600, 400
"""Characters of each part of one try."""
MAX_DIAGNOSIS = 1_600
"""Characters."""
MAX_NAMES_BYTES = 4_000
"""Of one list of regions or operators; the rest is counted."""
MAX_DATASET_NAME = 200


@dataclass(frozen=True)
class Assignment:
    """One baseline to improve, and what is known of it. Everything but the source may be missing."""

    baseline_source: str
    dataset: str
    accuracy: float | None = None
    """Of the baseline after one epoch, in [0, 1]."""
    history: tuple[PastTry, ...] = ()
    """Oldest first."""
    edits: EditPermissions = field(default_factory=EditPermissions)
    deployment: DeploymentLimits = field(default_factory=DeploymentLimits)
    diagnosis: str = ""
    """What a model said when it was asked what is wrong: untrusted."""
    data_shape: DataShape | None = None
    """Of a data set that is no standard one, whose name alone says nothing to a model."""


def assignment_of(slot: ProposalSlot, request: ProposalRequest) -> Assignment:
    """What a search asks for one slot.

    A mark of a turn within the baseline, which some candidate wrote, gets a blank that no delta has to heed:
    lines are compared without their white space.
    """
    return Assignment(
        without_turn_marks(slot.baseline_source),
        request.dataset,
        slot.baseline_accuracy,
        slot.history,
        request.edits,
        request.deployment,
        data_shape=request.data_shape,
    )


def written_out(version: str, assignment: Assignment) -> tuple[ChatMessage, ChatMessage]:
    """The system turn and the user's, in the words of a version, at most MAX_PROMPT_BYTES."""
    words = words_of(version)
    parts = [
        words["task"].format(dataset=_dataset(assignment, words)),
        _accuracy(assignment, words),
        f"{words['baseline']}\n{fenced_source(assignment.baseline_source)}",
        _deployment(assignment.deployment, words["deployment"]),
        _edits(assignment.edits, words["edits"]),
        _diagnosis(assignment.diagnosis, words),
        words["request"],
    ]
    room = MAX_PROMPT_BYTES - sum(_size(part) for part in (words["system"], *parts))
    parts.insert(-2, _history(assignment.history, words["history"], min(room, MAX_HISTORY_BYTES)))
    user = "\n\n".join(part for part in parts if part)
    return ChatMessage("system", words["system"]), ChatMessage("user", user)


def _size(part: str) -> int:
    """In bytes, with the lines that part it from the next."""
    return len(part.encode("utf-8", "replace")) + 2


def _dataset(assignment: Assignment, words: Words) -> str:
    """A data set, with the shape of its images where it is known and the words tell it."""
    known = words["datasets"].get(assignment.dataset)
    if known is not None:
        return str(known)
    name = printable(assignment.dataset, MAX_DATASET_NAME)
    shape = assignment.data_shape
    if shape is None or "own_dataset" not in words:
        return name
    return str(words["own_dataset"].format(name=name, **asdict(shape)))


def _accuracy(assignment: Assignment, words: Words) -> str:
    if assignment.accuracy is None:
        return ""
    return str(words["accuracy"].format(accuracy=f"{assignment.accuracy:.2%}"))


def _deployment(limits: DeploymentLimits, words: Words) -> str:
    lines: list[str] = []
    if limits.forbidden_operators:
        names = _listed(limits.forbidden_operators, "")
        lines.append(words["forbidden_operators"].format(names=names))
    if limits.max_parameters is not None:
        lines.append(words["max_parameters"].format(number=f"{limits.max_parameters:,}"))
    if limits.max_flops is not None:
        lines.append(words["max_flops"].format(number=f"{limits.max_flops:,}"))
    return "\n".join((words["opening"], *lines)) if lines else ""


def _edits(edits: EditPermissions, words: Words) -> str:
    lines = [
        words[key].format(names=_listed(regions, words["more"]))
        for key, regions in (("only", edits.only), ("never", edits.never))
        if regions
    ]
    return "\n".join((words["opening"], *lines)) if lines else ""


def _listed(names: Iterable[str], more: str) -> str:
    """Names in backticks, as many as there is room for, and how many there are beside them."""
    shown: list[str] = []
    left = 0
    room = MAX_NAMES_BYTES
    for name in names:
        entry = f"`{printable(name, 250).replace('`', '')}`"
        room -= _size(entry)
        if room < 0:
            left += 1
        else:
            shown.append(entry)
    return ", ".join(shown) + (f" {more.format(number=left)}" if left else "")


def _history(tries: tuple[PastTry, ...], words: Words, room: int) -> str:
    """The latest tries that there is room for, in the order in which they were made."""
    kept: list[str] = []
    room -= _size(words["opening"])
    for number in range(len(tries), 0, -1):
        text = (
            f"{words['try'].format(number=number)}\n{quotation(_lines_of(tries[number - 1], words), 4_000)}"
        )
        room -= _size(text)
        if room < 0:
            break
        kept.insert(0, text)
    return "\n\n".join((words["opening"], *kept)) if kept else ""


def _lines_of(one: PastTry, words: Words) -> Iterator[str]:
    problem = " ".join(printable(one.problem, MAX_PROBLEM).split())
    if problem:
        yield from wrapped(words["problem"].format(text=problem))
    yield words["change"]
    yield from one.change[:MAX_CHANGE].strip("\n").split("\n")
    yield from wrapped(words["outcome"].format(text=" ".join(printable(one.outcome, MAX_OUTCOME).split())))


def _diagnosis(text: str, words: Words) -> str:
    said = " ".join(text[:MAX_DIAGNOSIS].split())
    return f"{words['diagnosis']}\n{quotation(wrapped(said), 2 * MAX_DIAGNOSIS)}" if said else ""
