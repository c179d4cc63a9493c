"""The baseline as the applier looks at it: its lines, and where each of them stands."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property

from generator_svc.deltas.similarity import bigrams

BLANK = ""
"""The key of a line without visible characters."""

ATTRIBUTE_SET = re.compile(r"\s*(self\.\w+)\s*(?::[^=]*)?=(?!=)(.*)")
"""A line that sets an attribute: which, and to what."""


def key_of(line: str) -> str:
    """What of a line survives any damage to its white space: its visible characters."""
    return "".join(line.split())


def indent_of(line: str) -> str:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


class Baseline:
    """Lines without their newlines, indexed by key. Everything that is not needed is not computed."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        self.keys = tuple(map(key_of, lines))
        codes: dict[str, str] = {}
        # Surrogates are characters like others to `str.find`, and a source has fewer lines than code points.
        self._text = "".join([codes.setdefault(key, chr(len(codes))) for key in self.keys])
        self._code_points = codes

    def __len__(self) -> int:
        return len(self.lines)

    @cached_property
    def exact(self) -> frozenset[str]:
        """All lines, character by character."""
        return frozenset(self.lines)

    @cached_property
    def positions(self) -> dict[str, list[int]]:
        """Where each key stands, in ascending order; blank lines are left out."""
        found: dict[str, list[int]] = defaultdict(list)
        for index, key in enumerate(self.keys):
            if key:
                found[key].append(index)
        return dict(found)

    @cached_property
    def visible_before(self) -> tuple[int, ...]:
        """For each line the number of lines before it that are not blank; one entry more than lines."""
        counts = [0]
        for key in self.keys:
            counts.append(counts[-1] + bool(key))
        return tuple(counts)

    @cached_property
    def indent_unit(self) -> int:
        """Columns of one level of indentation: 2 where lines are indented by two, else 4."""
        widths = [len(indent_of(line)) for line, key in zip(self.lines, self.keys, strict=True) if key]
        twos = sum(width % 4 == 2 for width in widths)
        return 2 if 4 * twos > len(widths) else 4

    def is_level(self, width: int | Fraction) -> bool:
        """Whether so many columns are a whole number of levels."""
        return width % self.indent_unit == 0

    @cached_property
    def indent_widths(self) -> frozenset[int]:
        """The columns at which visible lines begin."""
        return frozenset(len(indent_of(line)) for line, key in zip(self.lines, self.keys, strict=True) if key)

    @cached_property
    def tab_width(self) -> int | None:
        """What one tab stands for where no line of the baseline is indented by tabs; else None."""
        return None if any("\t" in indent_of(line) for line in self.lines) else self.indent_unit

    @cached_property
    def times_set(self) -> Counter[str]:
        """How many lines set each attribute: `self.NAME`."""
        return Counter(found[1] for line in self.lines if (found := ATTRIBUTE_SET.match(line)))

    def visible_between(self, start: int, stop: int) -> int:
        """Lines of [start, stop) that are not blank."""
        return self.visible_before[stop] - self.visible_before[start]

    def is_known(self, line: str) -> bool:
        """Whether a visible line stands anywhere in the baseline, white space aside."""
        key = key_of(line)
        return key in self.positions

    def bigrams_at(self, index: int) -> frozenset[str]:
        """The pairs of neighbouring characters of one line's key, computed once."""
        found = self._bigrams.get(index)
        if found is None:
            found = self._bigrams[index] = bigrams(self.keys[index])
        return found

    @cached_property
    def _bigrams(self) -> dict[int, frozenset[str]]:
        return {}

    def runs(self, keys: Sequence[str], limit: int) -> list[int]:
        """The first `limit` places at which lines with these keys follow each other.

        Each distinct key is one character, so that a search is one `str.find`: linear, and compiled.
        """
        if any(key not in self._code_points for key in keys):
            return []
        pattern = "".join(self._code_points[key] for key in keys)
        found: list[int] = []
        at = self._text.find(pattern)
        while at >= 0 and len(found) < limit:
            found.append(at)
            at = self._text.find(pattern, at + 1)
        return found
