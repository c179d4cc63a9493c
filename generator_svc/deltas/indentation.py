"""Brings added lines to the indentation of the baseline, learnt from the old lines around them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from generator_svc.deltas.baseline import Baseline, indent_of

USUAL_TAB = 4
USUAL_SHARE = 0.7
"""Of the old lines with one indentation, so many agree on what it stands for; else nobody knows."""


@dataclass(frozen=True)
class Indents:
    """The white space that the visible lines of one hunk begin with."""

    old: tuple[tuple[str, str], ...]
    """Of each line that stands in the baseline: as the delta has it, and as the baseline has it."""
    written: frozenset[str]
    """Of all lines, as the delta has it."""

    @cached_property
    def differ(self) -> bool:
        """Whether any line is indented otherwise than in the baseline."""
        return any(before != after for before, after in self.old)

    @cached_property
    def tab(self) -> int | None:
        """The columns that one tab stands for, if the lines tell."""
        for before, after in self.old:
            tabs = before.count("\t")
            if before != after and tabs and after and len(after) % tabs == 0:
                return len(after) // tabs
        return None


NO_INDENTS = Indents((), frozenset())
"""Of a hunk whose old lines stand in the baseline as they were written: nothing is to be learnt."""


def indents_of(old: Iterable[tuple[str, str]], written: Iterable[str]) -> Indents:
    """From old lines, as written and as the baseline has them, and all lines as written; blank ones aside."""
    return Indents(
        tuple((indent_of(line), indent_of(real)) for line, real in old if line.strip()),
        frozenset(indent_of(line) for line in written if line.strip()),
    )


class Reindentation:
    """What the indentation of an added line stands for.

    What it stands for in the old lines of the hunk; else, where most of these stand in the baseline as they
    were written, it is the proposer's own business.
    """

    def __init__(self, indents: Indents, baseline: Baseline, scale: Fraction | None = None) -> None:
        """`scale` is that of the whole delta, as `common_scale` has it."""
        self._indents = indents
        self._baseline = baseline
        self._scale = scale
        self._seen = _meanings_seen(indents) if indents.differ else {}
        self._meanings = {before: _usual(before, after) for before, after in self._seen.items()}
        moved = [before for before, after in indents.old if before != after]
        has_tabs = any("\t" in before for before in moved)
        self._keeps_unknown = 2 * len(moved) <= len(indents.old) and not has_tabs

    def __call__(self, text: str) -> str:
        """An added line as the baseline would have it."""
        if not text.strip():
            return text
        written = indent_of(text)
        return self._meaning(written) + text[len(written) :]

    def is_unclear(self, text: str) -> bool:
        """Whether the indentation of an added line stands for several of the baseline, for none mostly."""
        seen = self._seen.get(indent_of(text))
        return bool(text.strip()) and seen is not None and max(seen.values()) < USUAL_SHARE * seen.total()

    def _meaning(self, written: str) -> str:
        known = self._meanings.get(written)
        if known is not None:
            return known
        if self._scale is None and self._keeps_unknown:
            has_tabs = "\t" in written and self._baseline.tab_width is not None
            return written.expandtabs(self._tab) if has_tabs else written
        width = self._width(written)
        if self._scale is not None:
            return " " * int(width * self._scale)
        nearest = min(self._meanings, key=lambda other: (abs(self._width(other) - width), other))
        shift = self._width(self._meanings[nearest]) - self._width(nearest)
        return " " * max(0, width + shift)

    @cached_property
    def _tab(self) -> int:
        return _tab_width(self._indents, self._baseline)

    def _width(self, indent: str) -> int:
        return len(indent.expandtabs(self._tab))


def common_scale(hunks: Sequence[Indents], baseline: Baseline) -> Fraction | None:
    """Columns of the baseline for each one of the delta, where its levels have another width.

    None where they have not, or where lines may as well have been shifted, a hunk at a time.
    """
    if not any(hunk.differ for hunk in hunks):
        return None
    widths = [_widths(hunk, baseline) for hunk in hunks if hunk.differ]
    moved = [pair for old, _ in widths for pair in old if pair[0] != pair[1]]
    kept = [pair for hunk in hunks for pair in hunk.old if pair[0] == pair[1] != ""]
    if not moved or kept or not all(before and after for before, after in moved):
        return None
    ratio, *other_ratios = {Fraction(after, before) for before, after in moved}
    shift, *other_shifts = {after - before for before, after in moved}
    if other_ratios:
        return None
    if other_shifts or (len(moved) > 1 and any((0, 0) in old for old, _ in widths)):
        return ratio
    written = [width for _, all_widths in widths for width in all_widths if width]
    is_shifted = all(baseline.is_level(width + shift) for width in written)
    is_scaled = all(baseline.is_level(width * ratio) for width in written)
    return ratio if is_scaled and not is_shifted else None


def _widths(hunk: Indents, baseline: Baseline) -> tuple[list[tuple[int, int]], list[int]]:
    tab = _tab_width(hunk, baseline)
    old = [(len(before.expandtabs(tab)), len(after.expandtabs(tab))) for before, after in hunk.old]
    return old, [len(indent.expandtabs(tab)) for indent in hunk.written]


def _tab_width(hunk: Indents, baseline: Baseline) -> int:
    return hunk.tab or baseline.tab_width or USUAL_TAB


def _meanings_seen(indents: Indents) -> Mapping[str, Counter[str]]:
    """For each indentation of the old lines how often it stands for which one of the baseline."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for before, after in indents.old:
        seen[before][after] += 1
    return seen


def _usual(before: str, after: Counter[str]) -> str:
    """The one seen most often; as written, where that is as frequent."""
    return max(after, key=lambda meaning: (after[meaning], meaning == before, meaning))
