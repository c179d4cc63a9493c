"""Changes channel widths, hidden sizes, expansion factors and heads, wherever their number is written."""

import random
from collections.abc import Sequence
from functools import partial

from generator_svc.proposers.mutation.literals import literals_with
from generator_svc.proposers.mutation.operators import Change, Site
from generator_svc.proposers.mutation.propagation import number_change
from generator_svc.proposers.mutation.subject import Subject
from generator_svc.shapes import Span

FACTORS = (0.5, 0.75, 1.25, 1.5, 2.0)
MAX_FACTOR_LITERAL = 16
_WIDTH_ROLES = {"width", "input width", "dimension", "groups"}


def width_sites(subject: Subject) -> Sequence[Site]:
    """Literals that are the number of outputs of some layer."""
    return [
        partial(_resize, subject, span, number)
        for span, number, direct in literals_with(subject, "width", _WIDTH_ROLES)
        if direct and number >= 4
    ]


def _resize(subject: Subject, span: Span, number: int, rng: random.Random) -> Change | None:
    step = 8 if number >= 32 else 4 if number >= 16 else 2
    wanted = max(step, round(number * rng.choice(FACTORS) / step) * step)
    return None if wanted == number else number_change(subject, span, wanted, "width")


def factor_sites(subject: Subject) -> Sequence[Site]:
    """Small numbers that scale a width: `width * 4`, `channels // 2`, `expansion=2`."""
    return [
        partial(_rescale, subject, span, number)
        for role in ("width", "input width")
        for span, number, direct in literals_with(subject, role, _WIDTH_ROLES)
        if not direct and 2 <= number <= MAX_FACTOR_LITERAL
    ]


def _rescale(subject: Subject, span: Span, number: int, rng: random.Random) -> Change | None:
    wanted = rng.choice(
        [n for n in (number - 1, number + 1, number * 2, number // 2) if n >= 1 and n != number]
    )
    return number_change(subject, span, wanted, "factor")


def head_sites(subject: Subject) -> Sequence[Site]:
    """The number of attention heads."""
    return [
        partial(_regroup, subject, span, number)
        for span, number, direct in literals_with(subject, "heads", {"heads"})
        if direct
    ]


def _regroup(subject: Subject, span: Span, number: int, rng: random.Random) -> Change | None:
    wanted = rng.choice([n for n in (1, 2, 4, 8) if n != number])
    return number_change(subject, span, wanted, "heads")
