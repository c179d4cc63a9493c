"""Finds the number literals of a source by what they mean in the network."""

from collections.abc import Iterator

from generator_svc.proposers.mutation.subject import Subject
from generator_svc.shapes import Span


def literals_with(subject: Subject, role: str, allowed: set[str]) -> Iterator[tuple[Span, int, bool]]:
    """Integer literals that arrive as `role` and as nothing outside `allowed`.

    Yields place, value, and whether the number arrives unchanged (and not only inside a computation).
    """
    journal = subject.journal
    for span, number in sorted(journal.literals.items()):
        roles = journal.roles.get(span, set())
        if isinstance(number, int) and role in roles and roles <= allowed:
            yield span, int(number), span in journal.direct
