"""Kinds that the applier has not been built for. Whoever works on the applier does not read this file.

They measure whether the problem was solved or the list: nothing is tuned on them, the benchmark prints
their rates but never their instances, and the documents do not describe them.
"""

import html
import random
import re

from .context import known_lines
from .determinacy import arrangements, stand_nowhere_else
from .envelopes import BEFORE
from .hunks import NAMES, Hunk, Line, body_text, diff_text, hunk_text, split_lines
from .kinds import Damaged, Kind, meaning
from .losses import REFUSE
from .pairs import Pair

PLACEHOLDERS = (
    "# ... rest of the layers as before",
    "# ... existing code ...",
    "# (remaining layers unchanged)",
    "...",
    "# TODO: same as in the original",
)


def smart_quotes(pair: Pair, rng: random.Random) -> Damaged | None:
    """A word processor's quotes, in every line; each has one straight counterpart."""
    if re.search("[‘’“”]", pair.baseline + pair.target):
        return None

    def curled(text: str) -> str:
        text = re.sub(r'(^|[\s(\[{=,])"', r"\1“", text).replace('"', "”")
        return re.sub(r"(^|[\s(\[{=,])'", r"\1‘", text).replace("'", "’")

    hunks = tuple(
        hunk.with_lines(Line(line.sign, curled(line.text)) for line in hunk.lines) for hunk in pair.hunks
    )
    return meaning(pair, hunks) if hunks != pair.hunks else None


def html_escapes(pair: Pair, rng: random.Random) -> Damaged | None:
    if "&" in pair.baseline + pair.target:
        return None
    text = html.escape(diff_text(pair.hunks), quote=rng.random() < 0.5)
    return Damaged(text, frozenset({pair.target})) if "&" in text else None


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


def indented_block(pair: Pair, rng: random.Random) -> Damaged:
    """The whole diff moved to the right, headers included, as below an item of a list."""
    indent = " " * rng.choice((2, 3, 4))
    text = "".join(f"{indent}{line}\n" for line in diff_text(pair.hunks).splitlines())
    if rng.random() < 0.5:
        text = f"1. Apply this:\n\n{indent}```diff\n{text}{indent}```\n"
    return Damaged(text, frozenset({pair.target}))


def repeated_diff(pair: Pair, rng: random.Random) -> Damaged:
    """The same diff twice: one change is meant."""
    text = diff_text(pair.hunks)
    between = rng.choice(("", "\n", "\nThe complete delta once more:\n\n"))
    if rng.random() < 0.6:
        text = f"```diff\n{text}```\n"
    return Damaged(f"{rng.choice(BEFORE)}{text}{between}{text}", frozenset({pair.target}))


def needless_pairs(pair: Pair, rng: random.Random) -> Damaged | None:
    """Context lines removed and added again, or added lines before the removed ones they replace."""
    hunks: list[Hunk] = []
    for hunk in pair.hunks:
        lines: list[Line] = []
        for line in hunk.lines:
            if line.sign == " " and rng.random() < 0.3:
                lines += [Line("-", line.text), Line("+", line.text)]
            elif line.sign == "+" and lines and lines[-1].sign == "-" and rng.random() < 0.5:
                lines[-1:] = [line, lines[-1]]
            else:
                lines.append(line)
        hunks.append(hunk.with_lines(lines))
    if any(_runs(one) != _runs(other) for one, other in zip(hunks, pair.hunks, strict=True)):
        return None
    return meaning(pair, tuple(hunks))


def _runs(hunk: Hunk) -> tuple[list[str], list[str]]:
    """Both sides of a hunk, which must not change."""
    return hunk.old, [line.text for line in hunk.lines if line.sign != "-"]


def whole_source(pair: Pair, rng: random.Random) -> Damaged:
    """One hunk from the first to the last line, everything unchanged as context, the counts rarely right."""
    lines: list[Line] = []
    baseline = split_lines(pair.baseline)
    at = 0
    for hunk in pair.hunks:
        lines += [Line(" ", text) for text in baseline[at : hunk.start]]
        lines += hunk.lines
        at = hunk.start + len(hunk.old)
    lines += [Line(" ", text) for text in baseline[at:]]
    header = rng.choice(("@@ -1,99 +1,102 @@", "@@ -1 +1 @@", "@@ @@", "@@ -1,10 +1,12 @@"))
    return Damaged(diff_text([Hunk(0, header, tuple(lines))]), frozenset({pair.target}))


def unended_source(pair: Pair, rng: random.Random) -> Damaged | None:
    """A baseline whose last line has no newline, and a delta that does not say so. Where the delta leaves
    the last line alone, so must the result; else either end is right."""
    baseline = pair.baseline.removesuffix("\n")
    last = pair.hunks[-1]
    reaches_end = last.start + len(last.old) >= len(split_lines(pair.baseline))
    if not reaches_end and rng.random() < 0.8:
        return None
    ended = pair.target.removesuffix("\n")
    touched = reaches_end and last.lines[-1].sign != " "
    right = {ended, pair.target} if touched else {ended}
    return Damaged(diff_text(pair.hunks), frozenset(right), baseline)


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


def insertion_without_place(pair: Pair, rng: random.Random) -> Damaged | None:
    """A hunk of added lines alone under a bare header, next to others that are right. Refuse."""
    number = rng.randrange(len(pair.hunks))
    hunk = pair.hunks[number]
    if not any(line.sign == "+" and not line.is_blank for line in hunk.lines):
        return None
    added = hunk.with_lines(line for line in hunk.lines if line.sign == "+").with_header("@@ @@")
    return Damaged(diff_text((*pair.hunks[:number], added, *pair.hunks[number + 1 :])), REFUSE)


def other_removed_line(pair: Pair, rng: random.Random) -> Damaged | None:
    """A removed line with another number than the baseline has: the model works from another network.
    Refuse: every removed line must match."""
    spots = [
        (number, at, match)
        for number, hunk in enumerate(pair.hunks)
        for at, line in enumerate(hunk.lines)
        if line.sign == "-"
        for match in re.finditer(r"(?<![\w.])\d+(?![\w.])", line.text)
    ]
    if not spots:
        return None
    number, at, match = rng.choice(spots)
    hunk = pair.hunks[number]
    text = hunk.lines[at].text
    text = text[: match.start()] + str(int(match.group()) * 3 + 1) + text[match.end() :]
    if text.strip() in known_lines(pair.baseline):
        return None
    hurt = hunk.with_lines((*hunk.lines[:at], Line("-", text), *hunk.lines[at + 1 :]))
    return Damaged(diff_text((*pair.hunks[:number], hurt, *pair.hunks[number + 1 :])), REFUSE)


def comments_in_hunks(pair: Pair, rng: random.Random) -> Damaged | None:
    """Remarks of the model among the lines of a hunk, without any sign, and pieces that fit one place."""
    if len(arrangements(pair.baseline, [hunk.old for hunk in pair.hunks], 2)) != 1:
        return None
    text = NAMES
    for hunk in pair.hunks:
        first = hunk.changes[0]
        remark = rng.choice(("// changed below", "<!-- new -->", "(the following lines are new)", "=> here:"))
        head, tail = hunk.with_lines(hunk.lines[:first]), hunk.with_lines(hunk.lines[first:])
        text += hunk_text(head) + remark + "\n" + body_text(tail)
    return Damaged(text, frozenset({pair.target})) if stand_nowhere_else(pair.baseline, pair.hunks) else None


KINDS = (
    Kind("smart quotes", "", smart_quotes),
    Kind("HTML escapes", "", html_escapes),
    Kind("line numbers", "", line_numbers),
    Kind("space after sign", "", space_after_sign),
    Kind("indented block", "", indented_block),
    Kind("repeated diff", "", repeated_diff),
    Kind("needless pairs", "", needless_pairs),
    Kind("whole source", "", whole_source),
    Kind("unended source", "", unended_source),
    Kind("elided additions", "", elided_additions),
    Kind("insertion without place", "", insertion_without_place),
    Kind("other removed line", "", other_removed_line),
    Kind("remarks in hunks", "", comments_in_hunks),
)
