"""Changes one number of a source and carries the change to every number that must follow.

A width that one variable drives needs nothing: the symbolic run shows that all still fits. Where
producer and consumer are written as separate literals, the run stops at the consumer, and says which
literals its two sizes were computed from; the one that makes them equal again is changed too, and so
on until the run is proven. Of several ways the one with the fewest changes is taken.
"""

from collections import deque
from collections.abc import Iterator, Mapping

import libcst as cst

from generator_svc.proposers.mutation.labels import label_of
from generator_svc.proposers.mutation.operators import Change
from generator_svc.proposers.mutation.subject import Subject
from generator_svc.proposers.mutation.verification import is_affordable
from generator_svc.shapes import Span, Trace, Verdict, trace_source

MAX_RUNS = 60
"""Symbolic runs that one propagation may take."""

MAX_FOLLOWERS = 24
_SIZES = {"width", "input width", "dimension", "groups", "heads"}
_MAX_NUMBER = 1 << 16


def number_change(subject: Subject, span: Span, value: int, what: str) -> Change | None:
    """The integer literal at `span` becomes `value`, with all that follows from it; None if nothing fits."""
    node = subject.expression_at(span)
    if not isinstance(node, cst.Integer):
        return None
    numbers = _propagated(subject, span, value)
    if numbers is None:
        return None
    replacements = {}
    for place, number in numbers.items():
        literal = subject.expression_at(place)
        if not isinstance(literal, cst.Integer):
            return None
        replacements[literal] = cst.Integer(str(number))
    followers = f" (+{len(numbers) - 1} that follow)" if len(numbers) > 1 else ""
    summary = f"{what} of {label_of(subject, node)} {node.value} → {value}{followers}"
    return Change(subject.rewrite(replacements), summary)


def _propagated(subject: Subject, span: Span, value: int) -> Mapping[Span, int] | None:
    """Breadth first over sets of changed literals."""
    pending: deque[dict[Span, int]] = deque([{span: value}])
    seen = {frozenset({(span, value)})}
    for _ in range(min(MAX_RUNS, max(4, subject.affordable_runs // 10))):
        if not pending:
            return None
        numbers = pending.popleft()
        failed = _first_failure(subject, numbers)
        if failed is None:
            return numbers
        if len(numbers) >= MAX_FOLLOWERS:
            continue
        for place, number in _repairs(failed, numbers):
            if place in numbers:
                continue
            longer = {**numbers, place: number}
            key = frozenset(longer.items())
            if key not in seen:
                seen.add(key)
                pending.append(longer)
    return None


def _first_failure(subject: Subject, numbers: Mapping[Span, int]) -> Trace | None:
    for (shape, classes), before in zip(subject.probes, subject.traces, strict=True):
        if before.verdict != Verdict.PROVEN:
            continue
        after = trace_source(subject.source, shape, classes, numbers)
        if after.verdict != Verdict.PROVEN or not is_affordable(before, after):
            return after
    return None


def _repairs(failed: Trace, changed: Mapping[Span, int]) -> Iterator[tuple[Span, int]]:
    """Literals that would make the two sizes of a failure equal: the consumer's first.

    In a product such as `64 * 4`, a factor that an unchanged literal of the other side still equals
    comes last: it is most likely right as it is.
    """
    if failed.verdict != Verdict.INCONSISTENT or failed.expected is None or failed.actual is None:
        return
    literals = failed.journal.literals
    for wrong, right in ((failed.expected, failed.actual), (failed.actual, failed.expected)):
        settled = {literals[span] for span in getattr(right, "origins", ()) if span not in changed}
        for span in sorted(getattr(wrong, "origins", ()), key=lambda span: literals[span] in settled):
            number = literals[span]
            if (
                not failed.journal.roles.get(span, set()) <= _SIZES
                or not isinstance(number, int)
                or wrong < 1
            ):
                continue
            wanted, rest = divmod(number * int(right), int(wrong))
            if rest == 0 and 1 <= wanted <= _MAX_NUMBER and wanted != number:
                yield span, wanted
