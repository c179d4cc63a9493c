"""Two or three mild kinds of damage at once: to the numbers, to the hunks, to what is around them."""

import random

from .context import context_numbers, known_lines, mistype, without
from .determinacy import dropping_keeps_order, is_distinct, stand_nowhere_else
from .envelopes import enclose
from .headers import bare, miscount, misnumber
from .hunks import NAMES, Hunk, Hunks, diff_text
from .kinds import Damaged, Kind
from .pairs import Pair
from .signs import forget_plus, indents_by_four, lose_prefixes, outdent, tabs_for_spaces

NUMBERS = ("true", "wrong", "counts", "bare", "copied")
BODIES = ("prefixes", "typo", "blank lines", "plus", "outdent", "tabs")
ENVELOPES = ("none", "fence", "fence", "no names", "crlf")


def _hurt(hunk: Hunk, body: str, pair: Pair, rng: random.Random) -> Hunk:
    """One hunk with one kind of damage to its lines; unchanged where it has no place for that."""
    known = known_lines(pair.baseline)
    if body == "prefixes":
        return lose_prefixes(hunk, 0.6, rng)
    if body == "typo":
        return mistype(hunk, known, rng) or hunk
    if body == "plus":
        return forget_plus(hunk, known, 0.0, rng)
    if body == "outdent":
        return outdent(hunk, 4)
    if body == "tabs":
        return hunk.with_lines(map(tabs_for_spaces, hunk.lines)) if indents_by_four(pair.baseline) else hunk
    blank = set(context_numbers(hunk, blank=True))
    return without(hunk, blank, rng) if blank and dropping_keeps_order(hunk.lines, blank) else hunk


def _renumbered(hunk: Hunk, way: str, pair: Pair, rng: random.Random) -> Hunk:
    if way == "wrong":
        return misnumber(hunk, rng)
    if way == "counts":
        return miscount(hunk, rng)
    if way == "bare":
        return bare(hunk, pair.baseline, rng.choice(("@@", "@@ ... @@", "scope")))
    return hunk.with_header(pair.hunks[0].header) if way == "copied" else hunk


def _wrapped(hunks: Hunks, way: str, rng: random.Random) -> str:
    text = diff_text(hunks, "" if way == "no names" else NAMES)
    if way == "fence":
        return enclose(text, rng)
    return text.replace("\n", "\r\n") if way == "crlf" else text


def mixed(pair: Pair, rng: random.Random) -> Damaged | None:
    """Where numbers are gone, nothing else in the baseline may resemble the hunks."""
    numbers, envelope = rng.choice(NUMBERS), rng.choice(ENVELOPES)
    body = rng.choice(BODIES)
    hurt = tuple(_hurt(hunk, body, pair, rng) for hunk in pair.hunks)
    hunks = tuple(_renumbered(hunk, numbers, pair, rng) for hunk in hurt)
    if hurt == pair.hunks or (numbers == "true" and envelope == "none"):
        return None
    if hunks[-1].lines[-1].sign != " " and numbers == "counts":
        return None
    if numbers in {"true", "counts"}:
        determined = stand_nowhere_else(pair.baseline, hurt)
    else:
        determined = all(is_distinct(pair.baseline, hunk) for hunk in pair.hunks)
    return Damaged(_wrapped(hunks, envelope, rng), frozenset({pair.target})) if determined else None


KINDS = (Kind("mixed", "damage to the lines, and to numbers or surroundings too", mixed),)
