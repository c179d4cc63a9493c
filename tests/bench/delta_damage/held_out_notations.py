"""Held-out kinds too: other notations for the same diff. Not for whoever works on the applier either."""

import random

from .hunks import NAMES, Line, diff_text
from .kinds import Damaged, Kind, meaning
from .pairs import Pair


def equals_signs(pair: Pair, rng: random.Random) -> Damaged:
    """`=` before every unchanged line, where the form has a space."""
    hunks = (
        hunk.with_lines(Line("=" if line.sign == " " else line.sign, line.text) for line in hunk.lines)
        for hunk in pair.hunks
    )
    return meaning(pair, tuple(hunks))


def two_columns_of_numbers(pair: Pair, rng: random.Random) -> Damaged:
    """The old number and the new one before every sign, as a page for reviews shows them."""
    bar = rng.choice((" ", " | ", " │ "))
    text = NAMES
    for hunk in pair.hunks:
        old, _, new, _ = hunk.numbers()
        text += f"{hunk.header}\n"
        for line in hunk.lines:
            columns = ("" if line.sign == "+" else old, "" if line.sign == "-" else new)
            text += f"{columns[0]:>4} {columns[1]:>4}{bar}{line.sign}{line.text}\n"
            old, new = old + (line.sign != "+"), new + (line.sign != "-")
    return Damaged(text, frozenset({pair.target}))


def lines_in_backticks(pair: Pair, rng: random.Random) -> Damaged | None:
    """Every line of the diff as inline code of Markdown."""
    if "`" in pair.baseline + pair.target:
        return None
    text = "".join(f"`{line}`\n" for line in diff_text(pair.hunks).splitlines())
    return Damaged(text, frozenset({pair.target}))


def escaped_line_ends(pair: Pair, rng: random.Random) -> Damaged | None:
    r"""The whole delta on one line with `\n` spelt out: escaped once too often."""
    if "\\" in pair.baseline + pair.target:
        return None
    text = diff_text(pair.hunks).replace("\n", "\\n")
    return Damaged(rng.choice((text, text.replace('"', '\\"'))), frozenset({pair.target}))


def word_marks(pair: Pair, rng: random.Random) -> Damaged:
    """`[-removed-]` and `{+added+}` around whole lines, as `git diff --word-diff`; nothing before others."""

    def marked(line: Line) -> Line:
        text = {"-": f"[-{line.text}-]", "+": f"{{+{line.text}+}}"}.get(line.sign, line.text)
        return Line("", text)

    return meaning(pair, tuple(hunk.with_lines(map(marked, hunk.lines)) for hunk in pair.hunks))


KINDS = (
    Kind("equals signs", "", equals_signs),
    Kind("two columns of numbers", "", two_columns_of_numbers),
    Kind("lines in backticks", "", lines_in_backticks),
    Kind("escaped line ends", "", escaped_line_ends),
    Kind("word marks", "", word_marks),
)
