"""Damage to context lines. Headers keep their true start; counts are sometimes those of what is left."""

import random
import re
from collections.abc import Iterable
from itertools import pairwise

from .determinacy import (
    arrangements,
    dropping_keeps_order,
    readings_of_gaps,
    stand_at_one_place,
    stand_nowhere_else,
)
from .hunks import Hunk, Hunks, Line, diff_text, result_of, split_lines
from .kinds import Damaged, Kind, meaning
from .pairs import Pair
from .slips import SLIPS

ELLIPSES = ("...", "# ...", "# ... existing code ...", "# ... (unchanged) ...", "# ... rest of the code ...")


def without(hunk: Hunk, dropped: set[int], rng: random.Random) -> Hunk:
    """The hunk without some of its lines; its counts follow in half of the cases."""
    left = hunk.with_lines(line for number, line in enumerate(hunk.lines) if number not in dropped)
    return left.recounted() if dropped and rng.random() < 0.5 else left


def context_numbers(hunk: Hunk, blank: bool) -> list[int]:
    """Positions of its context lines, the blank ones or the others."""
    return [at for at, line in enumerate(hunk.lines) if line.sign == " " and line.is_blank == blank]


def missing_blank_lines(pair: Pair, rng: random.Random) -> Damaged | None:
    """Where an insertion stood between blank lines, each of its places among them is right."""
    hunks: list[Hunk] = []
    meant: list[Hunks] = [()]
    for hunk in pair.hunks:
        dropped = {at for at in context_numbers(hunk, blank=True) if rng.random() < 0.7}
        bodies = readings_of_gaps(hunk.lines, dropped)
        if bodies is None:
            return None
        hunks.append(without(hunk, dropped, rng))
        meant = [(*before, hunk.with_lines(body)) for before in meant for body in bodies]
    if tuple(hunks) == pair.hunks or not all(hunk.old for hunk in hunks) or len(meant) > 8:
        return None
    if not stand_nowhere_else(pair.baseline, tuple(hunks)):
        return None
    return Damaged(diff_text(hunks), frozenset(result_of(pair.baseline, reading) for reading in meant))


def drop_some_context(hunk: Hunk, most: int, rng: random.Random) -> Hunk | None:
    """Without one to `most` context lines that are not blank; None if the hunk cannot spare them."""
    numbers = context_numbers(hunk, blank=False)
    dropped = set(rng.sample(numbers, min(len(numbers), rng.randint(1, most))))
    if not dropped or len(hunk.old) - len(dropped) < 2 or not dropping_keeps_order(hunk.lines, dropped):
        return None
    return without(hunk, dropped, rng)


def missing_context_lines(pair: Pair, rng: random.Random) -> Damaged | None:
    chosen = rng.randrange(len(pair.hunks))
    hunks = [
        (drop_some_context(hunk, 2, rng) or hunk) if at == chosen or rng.random() < 0.4 else hunk
        for at, hunk in enumerate(pair.hunks)
    ]
    harmless = tuple(hunks) == pair.hunks
    if harmless or not stand_nowhere_else(pair.baseline, tuple(hunks)):
        return None
    return meaning(pair, tuple(hunks))


def _edges_dropped(hunk: Hunk, rng: random.Random) -> Hunk | None:
    """Without the context before the first change, behind the last, or most of both."""
    first, last = hunk.changes[0], hunk.changes[-1]
    keep_before, keep_behind = rng.choice(((0, 3), (3, 0), (1, 1), (1, 0), (0, 1), (0, 0)))
    begin, end = max(0, first - keep_before), min(len(hunk.lines), last + 1 + keep_behind)
    left = hunk.with_lines(hunk.lines[begin:end])
    return left if any(line.sign != "+" and not line.is_blank for line in left.lines) else None


def dropped_context(pair: Pair, rng: random.Random) -> Damaged | None:
    edges = [_edges_dropped(hunk, rng) for hunk in pair.hunks]
    hunks = tuple(hunk for hunk in edges if hunk is not None)
    lines = sum(len(hunk.lines) for hunk in pair.hunks)
    if len(hunks) < len(pair.hunks) or sum(len(hunk.lines) for hunk in hunks) == lines:
        return None
    style = rng.choice(("stale", "recounted", "bare"))
    if style == "recounted":
        hunks = tuple(hunk.recounted() for hunk in hunks)
    elif style == "bare":
        hunks = tuple(hunk.with_header("@@ @@") for hunk in hunks)
    return meaning(pair, hunks) if stand_at_one_place(pair.baseline, hunks) else None


def mistype(hunk: Hunk, known: set[str], rng: random.Random) -> Hunk | None:
    """One context line with a slip that makes it a line the baseline does not have."""
    numbers = [at for at in context_numbers(hunk, blank=False) if len(hunk.lines[at].text.strip()) >= 6]
    if not numbers or len(hunk.old) < 3:
        return None
    at = rng.choice(numbers)
    text = rng.choice(SLIPS)(hunk.lines[at].text, rng)
    if text.strip() in known or not text.strip():
        return None
    return hunk.with_lines((*hunk.lines[:at], Line(" ", text), *hunk.lines[at + 1 :]))


def known_lines(baseline: str) -> set[str]:
    """The baseline's lines without their indentation."""
    return {text.strip() for text in split_lines(baseline)}


def typos(pair: Pair, rng: random.Random) -> Damaged | None:
    known = known_lines(pair.baseline)
    hunks: Hunks = ()
    for hunk in pair.hunks:
        for _ in range(rng.choice((0, 1, 1, 2))):
            hunk = mistype(hunk, known, rng) or hunk
        hunks = (*hunks, hunk)
    if hunks == pair.hunks or not stand_nowhere_else(pair.baseline, hunks):
        return None
    return meaning(pair, hunks)


def _elided_within(hunk: Hunk, ellipsis: Line) -> tuple[list[Hunk], Hunk] | None:
    """A run of context between two changes gives way; the lines next to the changes stay."""
    numbers = hunk.changes
    for before, behind in pairwise(numbers):
        if behind - before > 4:
            head, tail = hunk.lines[: before + 2], hunk.lines[behind - 1 :]
            whole = hunk.with_lines((*head, ellipsis, *tail))
            return [hunk.with_lines(head), hunk.with_lines(tail)], whole
    return None


def _elided_above(hunk: Hunk, baseline: str, ellipsis: Line) -> tuple[list[Hunk], Hunk] | None:
    """The definition that the hunk is in, an ellipsis, and the hunk."""
    above = split_lines(baseline)[: hunk.start]
    scopes = [at for at, text in enumerate(above) if re.match(r"\s*(?:def|class) ", text)]
    if not scopes or hunk.start - scopes[-1] < 3 or hunk.lines[0].sign != " ":
        return None
    scope = Line(" ", above[scopes[-1]])
    whole = hunk.with_lines((scope, ellipsis, *hunk.lines))
    return [hunk.with_lines((scope,)), hunk], whole


def _elided_below(hunk: Hunk, ellipsis: Line) -> tuple[list[Hunk], Hunk] | None:
    if hunk.lines[-1].sign != " ":
        return None
    return [hunk], hunk.with_lines((*hunk.lines, ellipsis))


def elided_lines(pair: Pair, rng: random.Random) -> Damaged | None:
    """Dots in place of context, inside a hunk, above it, below it, or where two hunks run together."""
    indent = rng.choice(("", "    ", "        "))
    ellipsis = Line(rng.choice((" ", " ", "")), indent + rng.choice(ELLIPSES))
    merged = len(pair.hunks) > 1 and rng.random() < 0.4
    parts: list[Hunk] = []
    hunks: list[Hunk] = []
    if merged:
        parts = list(pair.hunks)
        joined = pair.hunks[0].lines
        for hunk in pair.hunks[1:]:
            joined = (*joined, ellipsis, *hunk.lines)
        hunks = [pair.hunks[0].with_lines(joined)]
    else:
        for hunk in pair.hunks:
            ways: Iterable[tuple[list[Hunk], Hunk] | None] = (
                _elided_within(hunk, ellipsis),
                _elided_above(hunk, pair.baseline, ellipsis),
                _elided_below(hunk, ellipsis),
            )
            possible = [way for way in ways if way]
            pieces, whole = rng.choice(possible) if possible else ([hunk], hunk)
            parts += pieces
            hunks.append(whole)
    if tuple(hunks) == pair.hunks or len(arrangements(pair.baseline, [part.old for part in parts], 2)) != 1:
        return None
    return meaning(pair, tuple(hunks))


def _repeated_within(hunk: Hunk, rng: random.Random) -> Hunk | None:
    """One context line, or two together, twice in a row."""
    numbers = context_numbers(hunk, blank=False)
    size = rng.choice((1, 1, 2))
    starts = [at for at in numbers if all(n in numbers for n in range(at, at + size))]
    if not starts:
        return None
    at = rng.choice(starts)
    run = hunk.lines[at : at + size]
    if any(len(line.text.strip()) < 4 for line in run):
        return None
    return hunk.with_lines((*hunk.lines[: at + size], *run, *hunk.lines[at + size :]))


def _reaching_back(hunk: Hunk, before: Hunk, baseline: str) -> Hunk | None:
    """The hunk with more context above, so that it overlaps the one before."""
    end = before.start + len(before.old)
    gap = hunk.start - end
    trailing = len(before.lines) - 1 - before.changes[-1]
    if gap > 4 or trailing < 2:
        return None
    begin = end - min(2, trailing)
    above = [Line(" ", text) for text in split_lines(baseline)[begin : hunk.start]]
    return hunk.with_lines((*above, *hunk.lines))


def duplicated_context(pair: Pair, rng: random.Random) -> Damaged | None:
    """The counts stay true, so that a line that is there twice is not taken for one to be added."""
    hunks: list[Hunk] = []
    for at, hunk in enumerate(pair.hunks):
        before = pair.hunks[at - 1] if at else None
        longer = _reaching_back(hunk, before, pair.baseline) if before else None
        twice = _repeated_within(hunk, rng) if at == 0 or rng.random() < 0.5 else None
        hunks.append(longer or twice or hunk)
    if tuple(hunks) == pair.hunks or not stand_nowhere_else(pair.baseline, tuple(hunks)):
        return None
    return meaning(pair, tuple(hunks))


KINDS = (
    Kind("missing blank lines", "blank context lines are gone", missing_blank_lines),
    Kind("missing context lines", "one or two context lines of some hunks are gone", missing_context_lines),
    Kind("dropped context", "context before or behind the changes is gone", dropped_context),
    Kind("typos in context", "context lines with slips, other numbers, comments, spacing", typos),
    Kind("elided lines", "`...` in place of context, or between hunks under one header", elided_lines),
    Kind("duplicated context", "context lines twice in a row, or hunks that overlap", duplicated_context),
)
