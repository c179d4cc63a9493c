"""Brings added lines to the indentation of the baseline, learnt from the old lines around them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from fractions import Fraction

from generator_svc.deltas.baseline import indent_of

Pair = tuple[str, str]
"""A line as the delta has it, and the same line as the baseline has it."""


class Reindentation:
    """What the white space that lines of a hunk begin with stands for.

    Identity where the old lines of the hunk stand in the baseline as they were written: then the
    indentation of an added line is the proposer's own business.
    """

    def __init__(
        self, pairs: Iterable[Pair], written: Iterable[str] = (), *, tab: int | None = None, unit: int = 4
    ) -> None:
        """`tab` is the width of one where the baseline indents by spaces alone, else None; `unit` the columns
        of one of its levels. `written` are all lines of the hunk."""
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        kept = changed = 0
        for written, real in pairs:
            before, after = indent_of(written), indent_of(real)
            seen[before][after] += 1
            kept += before == after
            changed += before != after
        self._meanings = {before: _usual(before, after) for before, after in seen.items()}
        moved = {before: after for before, after in self._meanings.items() if before != after}
        self._expands_tabs = tab is not None
        self._tab = _tab_width(moved) or tab or 4
        widths = {self._width(indent_of(line)) for line in written if line.strip()}
        self.scale = self._common_scale(widths, unit) if moved else None
        mostly_kept = kept >= changed and not any("\t" in before for before in moved)
        self.is_identity = not moved or (self.scale is None and mostly_kept)

    def __call__(self, text: str) -> str:
        """An added line as the baseline would have it."""
        if not text.strip():
            return text
        written = indent_of(text)
        if self.is_identity:
            has_tab = self._expands_tabs and "\t" in written
            return written.expandtabs(self._tab) + text[len(written) :] if has_tab else text
        return self._meaning(written) + text[len(written) :]

    def _meaning(self, written: str) -> str:
        known = self._meanings.get(written)
        if known is not None:
            return known
        width = self._width(written)
        if self.scale is not None:
            return " " * int(width * self.scale)
        nearest = min(self._meanings, key=lambda other: (abs(self._width(other) - width), other), default="")
        shift = self._width(self._meanings[nearest]) - self._width(nearest)
        return " " * max(0, width + shift)

    def _width(self, indent: str) -> int:
        return len(indent.expandtabs(self._tab))

    def _common_scale(self, widths: Collection[int], unit: int) -> Fraction | None:
        """Columns of the baseline for each written one, where the levels have another width; None if shifted.

        Two levels tell both apart; with one, whether all lines then stand at whole levels.
        """
        seen = [(self._width(before), self._width(after)) for before, after in self._meanings.items()]
        if any(after for before, after in seen if not before):
            return None
        scales = {Fraction(after, before) for before, after in seen if before}
        shifts = {after - before for before, after in seen if before}
        if len(scales) != 1:
            return None
        (scale,) = scales
        if any(width * scale % unit for width in widths):
            return None
        is_shifted = len(shifts) == 1 and not any((width + min(shifts)) % unit for width in widths if width)
        return None if is_shifted else scale


def _usual(before: str, after: Counter[str]) -> str:
    """The meaning seen most often; as written, where that is as frequent."""
    return max(after, key=lambda meaning: (after[meaning], meaning == before, meaning))


def _tab_width(moved: dict[str, str]) -> int | None:
    for before, after in moved.items():
        tabs = before.count("\t")
        if tabs and len(after) % tabs == 0 and after:
            return len(after) // tabs
    return None
