"""Damage around the hunks and to line ends and spaces: what chat, transport and editors do to text."""

import random

from .determinacy import stands_once
from .hunks import NAMES, Hunk, Line, diff_text, hunk_text, result_of
from .kinds import Damaged, Kind, meaning
from .pairs import Pair

BEFORE = (
    "Here is the delta:\n\n",
    "Sure! I widened the network and added normalisation.\n\n",
    "To improve accuracy, I propose these changes:\n- more channels\n- another activation\n\n",
    "",
)
BEHIND = (
    "",
    "\nThis should train faster.\n",
    "\nExplanation:\n- The first change adds capacity.\n- The second one keeps shapes consistent.\n",
    "\n**Expected effect**\n\n+ better accuracy\n- slightly slower\n",
)
FENCES = (
    ("```diff\n", "```\n"),
    ("```diff\n", "```\n"),
    ("```python\n", "```\n"),
    ("```\n", "```\n"),
    ("~~~diff\n", "~~~\n"),
    ("```diff\n", ""),
    ("<delta>\n", "</delta>\n"),
    ("<delta>\n```diff\n", "```\n</delta>\n"),
    ("<delta>\n", ""),
)
FILE_NAMES = (
    NAMES,
    "--- net.py\n+++ net.py\n",
    "--- a/model.py\n+++ b/model.py\n",
    "--- original.py\n+++ modified.py\n",
    "--- a/baseline.py\n+++ b/improved.py\n",
    "--- baseline\n+++ target\n",
    "diff --git a/net.py b/net.py\nindex 83db48f..bf2a1c3 100644\n--- a/net.py\n+++ b/net.py\n",
    "--- a/net.py\t2026-01-01 00:00:00\n+++ b/net.py\t2026-01-01 00:00:01\n",
    "",
)
REMARKS = (
    "Next, adapt what depends on it:",
    "And the second part:",
    "Then the forward pass has to change as well.",
    "Finally, this keeps the shapes consistent:",
    "Now update the classifier.",
)


def enclose(text: str, rng: random.Random) -> str:
    """Prose and a fence around a diff. Bullets follow only where something closes the diff."""
    opening, closing = rng.choice(FENCES)
    behind = rng.choice(BEHIND) if closing else ""
    return f"{rng.choice(BEFORE)}{opening}{text}{closing}{behind}"


def fences(pair: Pair, rng: random.Random) -> Damaged:
    return Damaged(enclose(diff_text(pair.hunks), rng), frozenset({pair.target}))


def file_names(pair: Pair, rng: random.Random) -> Damaged:
    return Damaged(diff_text(pair.hunks, rng.choice(FILE_NAMES[1:])), frozenset({pair.target}))


def several_blocks(pair: Pair, rng: random.Random) -> Damaged | None:
    if len(pair.hunks) < 2:
        return None
    opening, closing = rng.choice(FENCES[:4])
    names = rng.choice((NAMES, NAMES, ""))
    blocks = []
    for number, hunk in enumerate(pair.hunks):
        lead = rng.choice(BEFORE) if number == 0 else f"{rng.choice(REMARKS)}\n\n"
        blocks.append(f"{lead}{opening}{names}{hunk_text(hunk)}{closing}")
    return Damaged("\n".join(blocks) + rng.choice(BEHIND), frozenset({pair.target}))


def prose_between(pair: Pair, rng: random.Random) -> Damaged | None:
    if len(pair.hunks) < 2:
        return None
    parts = [NAMES, hunk_text(pair.hunks[0])]
    for hunk in pair.hunks[1:]:
        parts += ["\n", rng.choice(REMARKS), rng.choice(("\n", "\n\n")), hunk_text(hunk)]
    return Damaged("".join(parts), frozenset({pair.target}))


def swapped_hunks(pair: Pair, rng: random.Random) -> Damaged | None:
    """Either the numbers are true, or each hunk fits at one place of the whole baseline."""
    if len(pair.hunks) < 2:
        return None
    order = rng.sample(range(len(pair.hunks)), len(pair.hunks))
    hunks = tuple(pair.hunks[at] for at in order)
    if hunks == pair.hunks:
        return None
    if rng.random() < 0.3:
        if not all(stands_once(pair.baseline, hunk) for hunk in hunks):
            return None
        hunks = tuple(hunk.with_header("@@ @@") for hunk in hunks)
    return meaning(pair, hunks)


def carriage_returns(pair: Pair, rng: random.Random) -> Damaged:
    """CRLF in the delta alone, in some of its lines, or in the baseline alone: its own ends are right."""
    text = diff_text(pair.hunks)
    way = rng.choice(("delta", "some", "baseline"))
    if way == "delta":
        return Damaged(text.replace("\n", "\r\n"), frozenset({pair.target}))
    if way == "some":
        lines = text.split("\n")
        mixed = [line + "\r" if rng.random() < 0.5 else line for line in lines[:-1]]
        return Damaged("\n".join([*mixed, ""]), frozenset({pair.target}))
    target = pair.target.replace("\n", "\r\n")
    return Damaged(text, frozenset({target}), pair.baseline.replace("\n", "\r\n"))


def _unbreakable(line: Line, whole: bool) -> str:
    text = f"{line.sign}{line.text}"
    if whole:
        return text.replace(" ", "\u00a0")
    body = text.lstrip(" ") if line.sign == " " else line.text.lstrip(" ")
    lead = text[: len(text) - len(body)]
    return lead.replace(" ", "\u00a0") + body


def non_breaking_spaces(pair: Pair, rng: random.Random) -> Damaged | None:
    """In the indentation or everywhere; never where the sources have such characters themselves."""
    if "\u00a0" in pair.baseline + pair.target:
        return None
    whole, share = rng.random() < 0.4, rng.choice((0.3, 1.0))
    text = NAMES
    for hunk in pair.hunks:
        lines = (
            _unbreakable(line, whole) if rng.random() < share else f"{line.sign}{line.text}"
            for line in hunk.lines
        )
        text += f"{hunk.header}\n" + "".join(f"{line}\n" for line in lines)
    return Damaged(text, frozenset({pair.target}))


def trailing_white_space(pair: Pair, rng: random.Random) -> Damaged | None:
    """Stripped from every line, or added to old lines. What added lines lost, no reader can know: the
    target without it is right."""
    if rng.random() < 0.5:
        stripped = tuple(_stripped(hunk) for hunk in pair.hunks)
        text = "".join(f"{line.rstrip()}\n" for line in diff_text(stripped).splitlines())
        return Damaged(text, frozenset({result_of(pair.baseline, stripped)}))
    hunks = tuple(
        hunk.with_lines(
            Line(line.sign, line.text + " " * rng.randint(1, 4))
            if line.sign != "+" and rng.random() < 0.4
            else line
            for line in hunk.lines
        )
        for hunk in pair.hunks
    )
    return meaning(pair, hunks)


def _stripped(hunk: Hunk) -> Hunk:
    return hunk.with_lines(Line(line.sign, line.text.rstrip()) for line in hunk.lines)


KINDS = (
    Kind("fences", "prose, fences of any language, unclosed ones, `<delta>` tags", fences),
    Kind("file names", "other names, two different ones, git's header, dates, none", file_names),
    Kind("several blocks", "a fence for each hunk, prose between", several_blocks),
    Kind("prose between hunks", "sentences between hunks, no fences", prose_between),
    Kind("swapped hunks", "hunks in another order, numbers true or bare", swapped_hunks),
    Kind("CRLF", "CRLF in all or some lines of the delta, or in the baseline alone", carriage_returns),
    Kind("non-breaking spaces", "U+00A0 for spaces in the indentation or everywhere", non_breaking_spaces),
    Kind("trailing white space", "stripped from all lines, or added to old ones", trailing_white_space),
)
