"""A diff as hunks that damage can be done to, and the true one between two sources.

Independent of the applier that is measured: the truth comes from difflib alone.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import NamedTuple

CONTEXT_LINES = 3
HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@$")


class Line(NamedTuple):
    """One line of a hunk. `sign` is " ", "-" or "+"; empty where damage took it."""

    sign: str
    text: str

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing but white space on it."""
        return not self.text.strip()


@dataclass(frozen=True)
class Hunk:
    """One hunk. `start` is the true 0-based line of its first old line; `header` is what is written."""

    start: int
    header: str | None
    lines: tuple[Line, ...]

    @property
    def old(self) -> list[str]:
        """The lines that a plain reader expects in the baseline."""
        return [line.text for line in self.lines if line.sign != "+"]

    @property
    def changes(self) -> list[int]:
        """Positions of the added and removed lines."""
        return [number for number, line in enumerate(self.lines) if line.sign in {"+", "-"}]

    def with_lines(self, lines: Iterable[Line]) -> "Hunk":
        """The same hunk with another body under its old header."""
        return replace(self, lines=tuple(lines))

    def with_header(self, header: str | None) -> "Hunk":
        """The same body under another header."""
        return replace(self, header=header)

    def numbers(self) -> tuple[int, int, int, int]:
        """Start and count of old and new side, as the header says. Raises ValueError without numbers."""
        match = HEADER.match(self.header or "")
        if match is None:
            raise ValueError(f"no numbers in {self.header!r}")
        old, old_count, new, new_count = match.groups()
        return int(old), int(old_count or 1), int(new), int(new_count or 1)

    def recounted(self) -> "Hunk":
        """The starts of its header with the counts of its body."""
        old_start, _, new_start, _ = self.numbers()
        old = sum(line.sign != "+" for line in self.lines)
        new = sum(line.sign != "-" for line in self.lines)
        return self.with_header(numbered_header(old_start, old, new_start, new))


Hunks = tuple[Hunk, ...]


def numbered_header(old_start: int, old_count: int, new_start: int, new_count: int) -> str:
    """A header as difflib writes it, numbers from 1."""
    old = str(old_start) if old_count == 1 else f"{old_start},{old_count}"
    new = str(new_start) if new_count == 1 else f"{new_start},{new_count}"
    return f"@@ -{old} +{new} @@"


def split_lines(source: str) -> list[str]:
    """The lines of a source that ends with a newline, without their ends."""
    return source.removesuffix("\n").split("\n")


def diff(baseline: str, target: str) -> Hunks:
    """The true hunks, with 3 lines of context."""
    old, new = split_lines(baseline), split_lines(target)
    hunks = []
    for group in SequenceMatcher(None, old, new).get_grouped_opcodes(CONTEXT_LINES):
        lines: list[Line] = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [Line(" ", text) for text in old[i1:i2]]
            else:
                lines += [Line("-", text) for text in old[i1:i2]]
                lines += [Line("+", text) for text in new[j1:j2]]
        old_start, new_start = group[0][1], group[0][3]
        old_count, new_count = group[-1][2] - old_start, group[-1][4] - new_start
        header = numbered_header(
            old_start + bool(old_count), old_count, new_start + bool(new_count), new_count
        )
        hunks.append(Hunk(old_start, header, tuple(lines)))
    return tuple(hunks)


def body_text(hunk: Hunk) -> str:
    """The lines of a hunk without its header."""
    return "".join(f"{line.sign}{line.text}\n" for line in hunk.lines)


def hunk_text(hunk: Hunk) -> str:
    """A hunk as it is written, with its header if it has one."""
    return (f"{hunk.header}\n" if hunk.header is not None else "") + body_text(hunk)


NAMES = "--- a/net.py\n+++ b/net.py\n"


def diff_text(hunks: Sequence[Hunk], names: str = NAMES) -> str:
    """All hunks under the names of the files."""
    return names + "".join(map(hunk_text, hunks))


def result_of(baseline: str, hunks: Sequence[Hunk]) -> str:
    """What true hunks make of the baseline; only their added lines may have been altered."""
    lines = split_lines(baseline)
    result: list[str] = []
    at = 0
    for hunk in hunks:
        result += lines[at : hunk.start]
        at = hunk.start
        for line in hunk.lines:
            if line.sign == "+":
                result.append(line.text)
            else:
                result += lines[at : at + 1] if line.sign == " " else []
                at += 1
    return "\n".join([*result, *lines[at:]]) + "\n"


def read_canonical(text: str) -> Hunks:
    """The hunks of a delta whose numbers are all true. Raises ValueError for any other."""
    hunks: list[Hunk] = []
    for line in text.removesuffix("\n").split("\n")[2:]:
        if line.startswith("@@"):
            hunk = Hunk(0, line, ())
            old_start, old_count, _, _ = hunk.numbers()
            hunks.append(replace(hunk, start=old_start - bool(old_count)))
        elif line[:1] in {" ", "+", "-"} and hunks:
            hunks[-1] = hunks[-1].with_lines((*hunks[-1].lines, Line(line[0], line[1:])))
        else:
            raise ValueError(f"not a line of a canonical delta: {line!r}")
    return tuple(hunks)
