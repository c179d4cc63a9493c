"""Damage to what stands around `@@`. Without true numbers every hunk must fit at one place alone."""

import random
import re

from .determinacy import stand_at_one_place
from .hunks import Hunk, Hunks, body_text, diff_text, numbered_header
from .kinds import Damaged, Kind, meaning
from .pairs import Pair

DRIFT = range(1, 31)
EXAMPLES = ("@@ -1,5 +1,6 @@", "@@ -10,7 +10,8 @@", "@@ -0,0 +1,9 @@", "@@ -12,6 +12,7 @@", "@@ -1,7 +1,7 @@")
"""Headers that a model copies from an example in its prompt."""
BARE = ("@@", "@@ @@", "@@ ... @@", "@@ -,+ @@", "@@ -X,Y +X,Y @@")
SCOPE = re.compile(r"(?:class|def) \w+")


def intact(pair: Pair, rng: random.Random) -> Damaged:
    """The control."""
    return meaning(pair, pair.hunks)


def misnumber(hunk: Hunk, rng: random.Random) -> Hunk:
    """A header whose line numbers are off, up or down; its counts stay."""
    old, old_count, new, new_count = hunk.numbers()
    shift = rng.choice(DRIFT) * rng.choice((-1, 1))
    old = max(1, old + shift) if rng.random() < 0.9 else 1
    new = max(1, new + (shift if rng.random() < 0.5 else rng.choice(DRIFT)))
    return hunk.with_header(numbered_header(old, old_count, new, new_count))


def miscount(hunk: Hunk, rng: random.Random) -> Hunk:
    """A header whose counts are off by one to three; its line numbers stay."""
    old, old_count, new, new_count = hunk.numbers()
    while True:
        counts = (
            max(1, old_count + rng.randint(-3, 3)),
            max(1, new_count + rng.randint(-3, 3)),
        )
        if counts != (old_count, new_count):
            return hunk.with_header(numbered_header(old, counts[0], new, counts[1]))


def bare(hunk: Hunk, baseline: str, style: str) -> Hunk:
    """A header without numbers; the style "scope" names the definition around instead."""
    if style != "scope":
        return hunk.with_header(style)
    above = reversed(baseline.split("\n")[: hunk.start + 1])
    scope = next((match.group() for line in above if (match := SCOPE.search(line))), "class Net")
    return hunk.with_header(f"@@ {scope} @@")


def wrong_numbers(pair: Pair, rng: random.Random) -> Damaged | None:
    hunks = tuple(misnumber(hunk, rng) for hunk in pair.hunks)
    return meaning(pair, hunks) if stand_at_one_place(pair.baseline, hunks) else None


def wrong_counts(pair: Pair, rng: random.Random) -> Damaged | None:
    """A last hunk that ends with a change and claims more lines would be a truncated one: drawn again."""
    if pair.hunks[-1].lines[-1].sign != " ":
        return None
    return meaning(pair, tuple(miscount(hunk, rng) for hunk in pair.hunks))


def copied_headers(pair: Pair, rng: random.Random) -> Damaged | None:
    first = pair.hunks[0].header
    header = first if len(pair.hunks) > 1 and rng.random() < 0.5 else rng.choice(EXAMPLES)
    hunks = tuple(hunk.with_header(header) for hunk in pair.hunks)
    return meaning(pair, hunks) if stand_at_one_place(pair.baseline, hunks) else None


def bare_headers(pair: Pair, rng: random.Random) -> Damaged | None:
    style = rng.choice((*BARE, "scope", "scope"))
    hunks = tuple(bare(hunk, pair.baseline, style) for hunk in pair.hunks)
    return meaning(pair, hunks) if stand_at_one_place(pair.baseline, hunks) else None


def no_headers(pair: Pair, rng: random.Random) -> Damaged | None:
    if not stand_at_one_place(pair.baseline, pair.hunks):
        return None
    text = rng.choice(("", "\n")).join(map(body_text, pair.hunks))
    return Damaged(f"```diff\n{text}```\n" if rng.random() < 0.6 else text, frozenset({pair.target}))


def later_headers_lost(pair: Pair, rng: random.Random) -> Damaged | None:
    if len(pair.hunks) < 2 or not stand_at_one_place(pair.baseline, pair.hunks):
        return None
    hunks: Hunks = (pair.hunks[0], *(hunk.with_header(None) for hunk in pair.hunks[1:]))
    return Damaged(diff_text(hunks), frozenset({pair.target}))


KINDS = (
    Kind("wrong numbers", "line numbers off by 1–30, counts true", wrong_numbers),
    Kind("wrong counts", "counts off by up to 3, line numbers true", wrong_counts),
    Kind("copied headers", "all hunks under the first one's header, or one from an example", copied_headers),
    Kind("bare headers", "`@@` without numbers, with dots, placeholders or the method's name", bare_headers),
    Kind("no headers", "neither file names nor `@@`, hunks one after the other", no_headers),
    Kind("later headers lost", "only the first of several hunks has its `@@` line", later_headers_lost),
)
