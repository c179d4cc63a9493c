"""Damage that takes information away: here refusing is the right answer, and a guess is wrong.

Only what a reader can notice counts. A cut at the very end of a hunk's changes leaves no trace and is
never drawn; a cut behind them takes nothing that matters, and then the target is the right answer.
"""

import ast
import random
import re
from difflib import get_close_matches

from .context import known_lines
from .determinacy import arrangements, places
from .envelopes import BEFORE
from .hunks import Hunk, Hunks, Line, diff_text, result_of, split_lines
from .kinds import Damaged, Kind
from .pairs import Pair, tree

REFUSE: frozenset[str] = frozenset()

INVENTED = (
    ("self.attention = nn.MultiheadAttention(embed_dim=96, num_heads=6, batch_first=True)", "num_heads=12"),
    ("self.stem_projection = nn.Conv2d(48, 72, kernel_size=7, stride=4, groups=24)", "stride=2"),
    ("pooled_tokens = self.token_mixer(patches).flatten(2).mean(dim=-1)", "patches.detach()"),
    ("self.gate = nn.GRU(input_size=40, hidden_size=88, num_layers=2, bidirectional=True)", "num_layers=3"),
)
"""Lines of networks that a model may remember instead of reading the one before it, and a word to change."""


PLACEHOLDERS = (
    "# ... rest of the layers as before",
    "# ... existing code ...",
    "# (remaining layers unchanged)",
    "...",
    "# TODO: same as in the original",
)


def _cut(text: str, rng: random.Random) -> str:
    """An answer that ran out of tokens, in half of the cases after a fence that nothing closes."""
    return f"{rng.choice(BEFORE)}```diff\n{text}" if rng.random() < 0.5 else text


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def _net(lines: tuple[Line, ...]) -> int:
    return sum(line.sign == "+" for line in lines) - sum(line.sign == "-" for line in lines)


def truncated_in_a_change(pair: Pair, rng: random.Random) -> Damaged | None:
    """Ends with a changed line, whole or cut in the middle, and more changes were to come."""
    number = rng.randrange(len(pair.hunks))
    hunk, before = pair.hunks[number], pair.hunks[:number]
    at = rng.choice(hunk.changes)
    line = hunk.lines[at]
    stripped = line.text.strip()
    kept = hunk.lines[: at + 1]
    if rng.random() < 0.5 and len(stripped) > 6:
        length = len(line.text) - len(line.text.lstrip()) + rng.randint(2, len(stripped) - 3)
        kept = (*hunk.lines[:at], Line(line.sign, line.text[:length]))
        end = ""
    elif _net(kept) != _net(hunk.lines):
        end = "\n"
    else:
        return None
    seen = (*before, hunk.with_lines(kept))
    if (
        not end
        and line.sign == "+"
        and _net(kept) == _net(hunk.lines)
        and _parses(result_of(pair.baseline, seen))
    ):
        return None
    return Damaged(_cut(diff_text(seen).removesuffix("\n") + end, rng), REFUSE)


def truncated_behind_changes(pair: Pair, rng: random.Random) -> Damaged | None:
    """Ends within the context behind the last change. Where nothing of it is left, nobody can be sure that
    the last change was complete: the target is right, and so is a refusal."""
    last = pair.hunks[-1]
    trailing = len(last.lines) - 1 - last.changes[-1]
    if trailing < 1:
        return None
    kept = last.lines[: len(last.lines) - rng.randint(1, trailing)]
    hunks = (*pair.hunks[:-1], last.with_lines(kept))
    following, piece = last.lines[len(kept)], ""
    if rng.random() < 0.5 and not following.is_blank:
        indent = len(following.text) - len(following.text.lstrip())
        piece = " " + following.text[: indent + rng.randint(1, max(1, len(following.text.strip()) - 1))]
    all_gone = kept[-1].sign != " " and not piece
    return Damaged(_cut(diff_text(hunks) + piece, rng), frozenset({pair.target}), may_refuse=all_gone)


def otherwise(hunk: Hunk, rng: random.Random) -> Hunk | None:
    """The same hunk, one of its added lines with another number."""
    spots = [
        (at, match)
        for at, line in enumerate(hunk.lines)
        if line.sign == "+"
        for match in re.finditer(r"(?<![\w.])\d+(?![\w.])", line.text)
    ]
    if not spots:
        return None
    at, match = rng.choice(spots)
    text = hunk.lines[at].text
    other = text[: match.start()] + str(int(match.group()) * 2 + 1) + text[match.end() :]
    return hunk.with_lines((*hunk.lines[:at], Line("+", other), *hunk.lines[at + 1 :]))


def contradicting_diffs(pair: Pair, rng: random.Random) -> Damaged | None:
    """Two whole diffs, or two hunks of one, that make different things of the same lines."""
    number = rng.randrange(len(pair.hunks))
    other = otherwise(pair.hunks[number], rng)
    if other is None:
        return None
    if rng.random() < 0.3:
        hunks = (*pair.hunks[: number + 1], other, *pair.hunks[number + 1 :])
        return Damaged(diff_text(hunks), REFUSE)
    first = diff_text(pair.hunks)
    second = diff_text((*pair.hunks[:number], other, *pair.hunks[number + 1 :]))
    if rng.random() < 0.4:
        return Damaged(first + second, REFUSE)
    titles = rng.choice((("Option 1", "Option 2"), ("First variant", "Second variant"), ("A", "B")))
    return Damaged(f"{titles[0]}:\n```diff\n{first}```\n\n{titles[1]}:\n```diff\n{second}```\n", REFUSE)


def _one_change(hunk: Hunk, first: int, around: int) -> Hunk:
    """The run of changes that begins at `first`, with at most `around` context lines on either side."""
    last = first
    while last + 1 in hunk.changes:
        last += 1
    begin, end = first, last + 1
    while begin > max(0, first - around) and hunk.lines[begin - 1].sign == " ":
        begin -= 1
    while end < min(len(hunk.lines), last + 1 + around) and hunk.lines[end].sign == " ":
        end += 1
    above = sum(line.sign != "+" for line in hunk.lines[:begin])
    return Hunk(hunk.start + above, None, hunk.lines[begin:end])


def _repeated_changes(pair: Pair) -> list[tuple[int, Hunk]]:
    """Runs of changes with so little context that they fit in several places, and their hunk's position."""
    lines = split_lines(pair.baseline)
    thin = [
        (number, _one_change(hunk, first, around))
        for number, hunk in enumerate(pair.hunks)
        for first in hunk.changes
        if first - 1 not in hunk.changes
        for around in range(4)
    ]
    return [
        (number, hunk)
        for number, hunk in thin
        if any(text.strip() for text in hunk.old) and len(places(lines, hunk.old)) > 1
    ]


def ambiguous_place(pair: Pair, rng: random.Random) -> Damaged | None:
    """Bare headers, and one hunk with little context: at least two places, and not the same code."""
    possible = _repeated_changes(pair)
    if not possible:
        return None
    number, thin = rng.choice(possible)
    others = rng.random() < 0.5
    hunks = (*pair.hunks[:number], thin, *pair.hunks[number + 1 :]) if others else (thin,)
    if not all(any(text.strip() for text in hunk.old) for hunk in hunks):
        return None
    moved: list[Hunks] = [
        tuple(Hunk(at, None, hunk.lines) for at, hunk in zip(starts, hunks, strict=True))
        for starts in arrangements(pair.baseline, [hunk.old for hunk in hunks])
    ]
    results = {result_of(pair.baseline, placed) for placed in moved}
    if len({tree(source) for source in results if _parses(source)}) < 2:
        return None
    header = rng.choice(("@@ @@", "@@", "@@ ... @@"))
    return Damaged(diff_text([hunk.with_header(header) for hunk in hunks]), REFUSE)


def invented_hunk(pair: Pair, rng: random.Random) -> Damaged | None:
    """One hunk removes a line that the baseline does not have, nor anything like it; the others are right."""
    removed, word = rng.choice(INVENTED)
    if get_close_matches(removed, known_lines(pair.baseline), 1, 0.7):
        return None
    added = re.sub(r"num_heads=\d+|stride=\d+|num_layers=\d+|patches(?=\))", word, removed)
    number = rng.randrange(len(pair.hunks))
    near = pair.hunks[number]
    context = [line for line in near.lines if line.sign == " " and not line.is_blank][-2:]
    if rng.random() < 0.5:
        context = [Line(" ", "        x = self.token_norm(x).transpose(1, 2)")]
    if not context:
        return None
    indent = " " * 8
    lines = (*context, Line("-", indent + removed), Line("+", indent + added))
    invented = Hunk(near.start, near.header, lines).recounted()
    hunks = (*pair.hunks[: number + 1], invented, *pair.hunks[number + 1 :])
    return Damaged(diff_text(hunks), REFUSE)


def elided_additions(pair: Pair, rng: random.Random) -> Damaged | None:
    """Added lines of which some gave way to a placeholder: nobody knows what they were. Refuse."""
    runs = [
        (number, at)
        for number, hunk in enumerate(pair.hunks)
        for at in range(len(hunk.lines) - 2)
        if all(line.sign == "+" and not line.is_blank for line in hunk.lines[at : at + 3])
    ]
    if not runs:
        return None
    number, at = rng.choice(runs)
    hunk = pair.hunks[number]
    text = hunk.lines[at + 1].text
    indent = text[: len(text) - len(text.lstrip())]
    placeholder = Line("+", indent + rng.choice(PLACEHOLDERS))
    hurt = hunk.with_lines((*hunk.lines[: at + 1], placeholder, *hunk.lines[at + 3 :]))
    return Damaged(diff_text((*pair.hunks[:number], hurt, *pair.hunks[number + 1 :])), REFUSE)


KINDS = (
    Kind("truncated in a change", "ends with a changed line, whole or cut; refuse", truncated_in_a_change),
    Kind("truncated in context", "ends within the context behind the last change", truncated_behind_changes),
    Kind("contradicting diffs", "the same lines changed in two ways; refuse", contradicting_diffs),
    Kind("elided additions", "a placeholder for some of the added lines; refuse", elided_additions),
    Kind("ambiguous place", "bare headers, two places or more that fit and parse; refuse", ambiguous_place),
    Kind("invented hunk", "one hunk removes a line that is not there; refuse", invented_hunk),
)
