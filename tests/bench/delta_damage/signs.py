"""Damage to the first column and to indentation. Headers stay true."""

import random
import re

from .context import known_lines
from .determinacy import stand_nowhere_else
from .hunks import Hunk, Hunks, Line
from .kinds import Damaged, Kind, meaning
from .pairs import Pair

NOT_CONTEXT = ("+", "-", "@@", "\\")


def lose_prefixes(hunk: Hunk, share: float, rng: random.Random) -> Hunk:
    """Context lines without the space before them; blank ones become empty."""

    def lost(line: Line) -> Line:
        bare = line.sign == " " and not line.text.startswith(NOT_CONTEXT) and rng.random() < share
        return Line("", line.text) if bare else line

    return hunk.with_lines(map(lost, hunk.lines))


def _prefixes_lost(pair: Pair, share: float, rng: random.Random) -> Damaged | None:
    hunks = tuple(lose_prefixes(hunk, share, rng) for hunk in pair.hunks)
    return meaning(pair, hunks) if any(_visibly_bare(hunk) for hunk in hunks) else None


def _visibly_bare(hunk: Hunk) -> bool:
    return any(not line.sign and not line.is_blank for line in hunk.lines)


def all_prefixes_lost(pair: Pair, rng: random.Random) -> Damaged | None:
    return _prefixes_lost(pair, 1.0, rng)


def some_prefixes_lost(pair: Pair, rng: random.Random) -> Damaged | None:
    return _prefixes_lost(pair, rng.uniform(0.2, 0.7), rng)


def forget_plus(hunk: Hunk, known: set[str], share: float, rng: random.Random) -> Hunk:
    """Some added lines without their sign: those that the baseline has nowhere, and never all changes.

    One at an odd column shows whether its indentation or its sign gave way only beside one at an even one.
    """
    added = [at for at, line in enumerate(hunk.lines) if line.sign == "+"]
    new = [at for at in added if hunk.lines[at].text.strip() and hunk.lines[at].text.strip() not in known]
    most = len(new) if len(hunk.changes) > len(new) else len(new) - 1
    chosen = set(rng.sample(new, min(most, max(1, round(share * len(new)))))) if most > 0 else set()
    if all(_indentation(hunk.lines[at].text) % 4 for at in chosen):
        return hunk
    sign = rng.choice(("", " "))
    return hunk.with_lines(
        Line(sign, line.text) if at in chosen and not line.text.startswith(NOT_CONTEXT) else line
        for at, line in enumerate(hunk.lines)
    )


def forgotten_plus(pair: Pair, rng: random.Random) -> Damaged | None:
    known = known_lines(pair.baseline)
    hunks = tuple(
        forget_plus(hunk, known, rng.choice((0.0, 0.0, 0.3, 0.6)), rng) if rng.random() < 0.8 else hunk
        for hunk in pair.hunks
    )
    return meaning(pair, hunks) if hunks != pair.hunks else None


def _indentation(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def outdent(hunk: Hunk, most: int) -> Hunk:
    """All lines moved to the left by the same amount, at most as far as the leftmost allows."""
    common = min((_indentation(line.text) for line in hunk.lines if not line.is_blank), default=0)
    cut = min(common, most)
    return hunk.with_lines(line if line.is_blank else Line(line.sign, line.text[cut:]) for line in hunk.lines)


def outdented(pair: Pair, rng: random.Random) -> Damaged | None:
    most = rng.choice((1, 4, 4, 8, 99))
    hunks: Hunks = tuple(outdent(hunk, most) for hunk in pair.hunks)
    if hunks == pair.hunks or not stand_nowhere_else(pair.baseline, hunks):
        return None
    return meaning(pair, hunks)


def tabs_for_spaces(line: Line) -> Line:
    """Each four leading spaces as one tab; lines of nothing but spaces stay."""
    if line.is_blank:
        return line
    indent = _indentation(line.text)
    return Line(line.sign, "\t" * (indent // 4) + " " * (indent % 4) + line.text[indent:])


def indents_by_four(baseline: str) -> bool:
    """Whether four spaces are one step of indentation here, so that a tab has one meaning."""
    opened = re.findall(r"^( *)(?:class|def|for|if|with) .*:[ \t]*\n( *)\S", baseline, re.MULTILINE)
    return bool(opened) and "\t" not in baseline and all(len(b) == len(a) + 4 for a, b in opened)


def tabs(pair: Pair, rng: random.Random) -> Damaged | None:
    """All lines, or the added ones alone: what stands around them shows what a tab is worth."""
    if not indents_by_four(pair.baseline) or "\t" in pair.target:
        return None
    signs = rng.choice((" +-", "+", "+-"))
    hunks = tuple(
        hunk.with_lines(tabs_for_spaces(line) if line.sign in signs else line for line in hunk.lines)
        for hunk in pair.hunks
    )
    return meaning(pair, hunks) if hunks != pair.hunks else None


def half_indentation(pair: Pair, rng: random.Random) -> Damaged | None:
    """Two columns for each four, in every line of the delta."""
    if not indents_by_four(pair.baseline) or not stand_nowhere_else(pair.baseline, pair.hunks):
        return None

    def halved(line: Line) -> Line:
        indent = len(line.text) - len(line.text.lstrip(" "))
        return line if line.is_blank else Line(line.sign, line.text[indent // 2 :])

    lines = [line for hunk in pair.hunks for line in hunk.lines if not line.is_blank]
    if any((len(line.text) - len(line.text.lstrip(" "))) % 4 for line in lines):
        return None
    return meaning(pair, tuple(hunk.with_lines(map(halved, hunk.lines)) for hunk in pair.hunks))


KINDS = (
    Kind("no prefix", "all context lines without the space before them", all_prefixes_lost),
    Kind(
        "some prefixes lost", "20–70 % of the context lines without the space before them", some_prefixes_lost
    ),
    Kind("forgotten +", "added lines that are new to the baseline without their `+`", forgotten_plus),
    Kind("outdent", "whole hunks moved left by 1, 4, 8 or all common columns", outdented),
    Kind("half indentation", "two columns for each four, in every line", half_indentation),
    Kind("tabs", "tabs for each four leading spaces, in all lines or in changed ones", tabs),
)
