"""Kinds that the applier has not been built for. Whoever works on the applier does not read this file.

They measure whether the problem was solved or the list: nothing is tuned on them, the benchmark prints
their rates but never their instances, and the documents do not describe them.
"""

import random
import re

from . import held_out_notations
from .context import known_lines
from .determinacy import places, stand_nowhere_else
from .envelopes import BEFORE
from .hunks import Hunk, Line, diff, diff_text, split_lines
from .kinds import Damaged, Kind, meaning
from .losses import REFUSE, otherwise
from .pairs import Pair


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


def typographic_signs(pair: Pair, rng: random.Random) -> Damaged | None:
    """A minus sign or a dash for `-`, a full-width plus for `+`, at the beginning of changed lines."""
    minus, plus = rng.choice("−–"), rng.choice("+＋")
    signs = {"-": minus, "+": plus, " ": " "}
    hunks = tuple(
        hunk.with_lines(Line(signs[line.sign], line.text) for line in hunk.lines) for hunk in pair.hunks
    )
    return meaning(pair, hunks) if hunks != pair.hunks else None


def quoted_lines(pair: Pair, rng: random.Random) -> Damaged:
    """Every line of the answer as a Markdown quotation."""
    text = f"{rng.choice(BEFORE)}{diff_text(pair.hunks)}"
    return Damaged("".join(f"> {line}\n" for line in text.splitlines()), frozenset({pair.target}))


def terminal_colours(pair: Pair, rng: random.Random) -> Damaged:
    """As git prints it on a terminal."""
    colours = {"-": "31", "+": "32", "@": "36"}
    lines = [
        f"\x1b[{colours[line[0]]}m{line}\x1b[m" if line[:1] in colours else line
        for line in diff_text(pair.hunks).splitlines()
    ]
    return Damaged("\n".join([*lines, ""]), frozenset({pair.target}))


def end_tokens(pair: Pair, rng: random.Random) -> Damaged | None:
    """A token that ends a turn, glued to the last line."""
    token = rng.choice(("<|im_end|>", "</s>", "<|endoftext|>", "<|EOT|>", "<｜end▁of▁sentence｜>"))
    if pair.hunks[-1].lines[-1].is_blank:
        return None
    return Damaged(diff_text(pair.hunks).removesuffix("\n") + token, frozenset({pair.target}))


def echoed_baseline(pair: Pair, rng: random.Random) -> Damaged:
    """The whole baseline in a fence of its own before the diff."""
    first = f"The original network:\n\n```python\n{pair.baseline}```\n\n"
    return Damaged(f"{first}The change:\n\n```diff\n{diff_text(pair.hunks)}```\n", frozenset({pair.target}))


def draft_in_thought(pair: Pair, rng: random.Random) -> Damaged | None:
    """Another version of the diff inside `<think>`, the one that counts behind it."""
    number = rng.randrange(len(pair.hunks))
    other = otherwise(pair.hunks[number], rng)
    if other is None:
        return None
    draft = diff_text((*pair.hunks[:number], other, *pair.hunks[number + 1 :]))
    thought = f"<think>\nMaybe this:\n\n```diff\n{draft}```\n\nNo, rather other numbers.\n</think>\n\n"
    return Damaged(f"{thought}```diff\n{diff_text(pair.hunks)}```\n", frozenset({pair.target}))


def context_on_header_line(pair: Pair, rng: random.Random) -> Damaged | None:
    """The first context line of each hunk stands behind its second `@@`."""
    if any(hunk.lines[0].sign != " " or hunk.lines[0].is_blank for hunk in pair.hunks):
        return None
    hunks = tuple(
        hunk.with_lines(hunk.lines[1:]).with_header(f"{hunk.header} {hunk.lines[0].text}")
        for hunk in pair.hunks
    )
    return meaning(pair, hunks)


def joined_context(pair: Pair, rng: random.Random) -> Damaged | None:
    """Two context lines of one call written as one, as a formatter would."""
    hunks = []
    for hunk in pair.hunks:
        spots = [
            at
            for at in range(len(hunk.lines) - 1)
            if all(line.sign == " " and not line.is_blank for line in hunk.lines[at : at + 2])
            and hunk.lines[at].text.rstrip().endswith(("(", ",", "["))
        ]
        if spots:
            at = rng.choice(spots)
            first, second = hunk.lines[at].text.rstrip(), hunk.lines[at + 1].text.strip()
            space = "" if first.endswith(("(", "[")) or second[:1] in ")]" else " "
            joined = Line(" ", first + space + second)
            hunk = hunk.with_lines((*hunk.lines[:at], joined, *hunk.lines[at + 2 :]))
        hunks.append(hunk)
    if tuple(hunks) == pair.hunks or any(len(hunk.old) < 2 for hunk in hunks):
        return None
    return meaning(pair, tuple(hunks)) if stand_nowhere_else(pair.baseline, tuple(hunks)) else None


def stale_baseline(pair: Pair, rng: random.Random) -> Damaged | None:
    """The baseline has moved on since: a line that the delta removes says something else now. Refuse."""
    spots = [
        (hunk.start + at, match)
        for hunk in pair.hunks
        for at, line in enumerate(old for old in hunk.lines if old.sign != "+")
        if line.sign == "-"
        for match in re.finditer(r"(?<![\w.])\d+(?![\w.])", line.text)
    ]
    if not spots:
        return None
    at, match = rng.choice(spots)
    lines = split_lines(pair.baseline)
    text = lines[at][: match.start()] + str(int(match.group()) * 2 + 3) + lines[at][match.end() :]
    if lines.count(lines[at]) > 1:
        return None
    baseline = "\n".join([*lines[:at], text, *lines[at + 1 :]]) + "\n"
    return Damaged(diff_text(pair.hunks), REFUSE, baseline)


def reversed_diff(pair: Pair, rng: random.Random) -> Damaged | None:
    """From target to baseline: what it removes is not there. Refuse."""
    hunks = diff(pair.target, pair.baseline)
    known = known_lines(pair.baseline)
    removed = [line.text.strip() for hunk in hunks for line in hunk.lines if line.sign == "-"]
    return Damaged(diff_text(hunks), REFUSE) if set(removed) - known else None


def elided_removals(pair: Pair, rng: random.Random) -> Damaged | None:
    """Dots for removed lines between the first and the last of a run: the target, or a refusal."""
    runs = [
        (number, at)
        for number, hunk in enumerate(pair.hunks)
        for at in range(len(hunk.lines) - 3)
        if all(line.sign == "-" and not line.is_blank for line in hunk.lines[at : at + 4])
    ]
    if not runs:
        return None
    number, at = rng.choice(runs)
    hunk = pair.hunks[number]
    end = at
    while end + 1 < len(hunk.lines) and hunk.lines[end + 1].sign == "-":
        end += 1
    indent = hunk.lines[at].text[: len(hunk.lines[at].text) - len(hunk.lines[at].text.lstrip())]
    dots = Line("-", indent + rng.choice(("...", "# ...", "# ... old layers ...")))
    hurt = hunk.with_lines((*hunk.lines[: at + 1], dots, *hunk.lines[end:]))
    if len(places(split_lines(pair.baseline), [hunk.lines[end].text])) > 1:
        return None
    text = diff_text((*pair.hunks[:number], hurt, *pair.hunks[number + 1 :]))
    return Damaged(text, frozenset({pair.target}), may_refuse=True)


KINDS = (
    Kind("smart quotes", "", smart_quotes),
    Kind("indented block", "", indented_block),
    Kind("repeated diff", "", repeated_diff),
    Kind("needless pairs", "", needless_pairs),
    Kind("whole source", "", whole_source),
    Kind("unended source", "", unended_source),
    Kind("insertion without place", "", insertion_without_place),
    Kind("other removed line", "", other_removed_line),
    Kind("typographic signs", "", typographic_signs),
    Kind("quoted lines", "", quoted_lines),
    Kind("terminal colours", "", terminal_colours),
    Kind("end tokens", "", end_tokens),
    Kind("echoed baseline", "", echoed_baseline),
    Kind("draft in thought", "", draft_in_thought),
    Kind("context on header line", "", context_on_header_line),
    Kind("joined context", "", joined_context),
    Kind("stale baseline", "", stale_baseline),
    Kind("reversed diff", "", reversed_diff),
    Kind("elided removals", "", elided_removals),
    *held_out_notations.KINDS,
)
