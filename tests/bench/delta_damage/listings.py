"""What a model writes into the lines of a hunk: numbers of a listing, a space too many, remarks, echoes."""

import random

from .determinacy import stand_at_one_place, stand_nowhere_else
from .hunks import NAMES, Hunk, Line, body_text, hunk_text
from .kinds import Damaged, Kind, meaning
from .pairs import Pair


def line_numbers(pair: Pair, rng: random.Random) -> Damaged:
    """Each old line bears its number in the baseline, as a listing in the prompt would show it."""
    style = rng.choice(("{:>4}: ", "{:>4} | ", "{}: "))
    text = NAMES
    for hunk in pair.hunks:
        at = hunk.start
        text += f"{hunk.header}\n"
        for line in hunk.lines:
            at += line.sign != "+"
            label = style.format(at) if line.sign != "+" else " " * len(style.format(at))
            text += f"{line.sign}{label}{line.text}\n"
    return Damaged(text, frozenset({pair.target}))


def space_after_sign(pair: Pair, rng: random.Random) -> Damaged | None:
    """`+ code` and `- code`, while context lines are as they should be, or shifted as well."""
    signs = rng.choice(("+-", "+-", " +-"))
    hunks = tuple(
        hunk.with_lines(
            Line(line.sign, " " + line.text) if line.sign in signs and not line.is_blank else line
            for line in hunk.lines
        )
        for hunk in pair.hunks
    )
    plain = all(any(line.sign != "+" and not line.is_blank for line in hunk.lines) for hunk in hunks)
    return meaning(pair, hunks) if plain else None


def remarks_in_hunks(pair: Pair, rng: random.Random) -> Damaged | None:
    """Remarks of the model among the lines of a hunk, without any sign, and pieces that fit one place."""
    if not stand_at_one_place(pair.baseline, pair.hunks):
        return None
    text = NAMES
    for hunk in pair.hunks:
        first = hunk.changes[0]
        remark = rng.choice(("// changed below", "<!-- new -->", "(the following lines are new)", "=> here:"))
        head, tail = hunk.with_lines(hunk.lines[:first]), hunk.with_lines(hunk.lines[first:])
        text += hunk_text(head) + remark + "\n" + body_text(tail)
    return Damaged(text, frozenset({pair.target})) if stand_nowhere_else(pair.baseline, pair.hunks) else None


def echoed_change(pair: Pair, rng: random.Random) -> Damaged | None:
    """The last line of an addition once more as context: it stands there from now on. The counts are true."""
    spots = [
        (number, at)
        for number, hunk in enumerate(pair.hunks)
        for at in range(len(hunk.lines) - 1)
        if hunk.lines[at].sign == "+" and not hunk.lines[at].is_blank and hunk.lines[at + 1].sign == " "
    ]
    if not spots:
        return None
    number, at = rng.choice(spots)
    return meaning(
        pair, tuple(_echoing(hunk, at) if i == number else hunk for i, hunk in enumerate(pair.hunks))
    )


def _echoing(hunk: Hunk, at: int) -> Hunk:
    return hunk.with_lines((*hunk.lines[: at + 1], Line(" ", hunk.lines[at].text), *hunk.lines[at + 1 :]))


KINDS = (
    Kind(
        "line numbers",
        "old lines bear their numbers, as in a listing; added ones are as far to the right",
        line_numbers,
    ),
    Kind("space after sign", "`+ code` and `- code`, context right or shifted as well", space_after_sign),
    Kind(
        "remarks in hunks", "a remark without any sign above the first change of each hunk", remarks_in_hunks
    ),
    Kind(
        "echoed change",
        "the last line of an addition once more as context; the counts are true",
        echoed_change,
    ),
)
