"""Where a hunk ends.

Language models count badly, so a hunk ends where its counts say only if what follows agrees; else where the
lines stop looking like a part of it.
"""

from bisect import bisect_left
from functools import cached_property

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.extract import Section
from generator_svc.deltas.file_headers import is_file_header
from generator_svc.deltas.hunk_headers import Header
from generator_svc.deltas.look_alikes import plain
from generator_svc.deltas.prose import is_prose

MARKER = "\\ "
"""Begins `\\ No newline at end of file`, in whatever language."""

MARKS = ("+", "-")
BODY = (" ", *MARKS)
BOUNDARIES = ("@@", "diff --git ", "*** ", "Index: ", "<<<<<<<")

MAX_TAIL = 200
"""Lines at the end of a hunk that are looked at to tell prose from code."""


class HunkEnds:
    """The ends of the hunks of one section. At most a constant number of looks at each line of a hunk."""

    def __init__(self, section: Section, baseline: Baseline) -> None:
        self._section = section
        self._lines = section.lines
        self._baseline = baseline

    def boundary_from(self, start: int) -> int:
        """Where the next thing begins that is no line of a hunk."""
        found = bisect_left(self._boundaries, start)
        return self._boundaries[found] if found < len(self._boundaries) else len(self._lines)

    def is_known(self, line: str) -> bool:
        """Whether a line claims to stand in the baseline, and does so, white space aside."""
        line = plain(line)
        text = line[1:] if line.startswith(MARKS) else line
        return not line.startswith("+") and self._baseline.is_known(text)

    def counted(self, start: int, header: Header) -> int | None:
        """Where the hunk ends if its counts are right; None if they are not."""
        if header.old_count is None or header.new_count is None:
            return None
        old, new = header.old_count, header.new_count
        end = start
        while (old > 0 or new > 0) and end < len(self._lines):
            line = self._lines[end]
            if line and not line.startswith((*BODY, MARKER)):
                return None
            if not line.startswith("\\"):
                old -= not line.startswith("+")
                new -= not line.startswith("-")
            end += 1
        if old or new or end == start:
            return None
        while end < len(self._lines) and self._lines[end].startswith(MARKER):
            end += 1
        return end if self._may_end(end) else None

    def uncounted(self, start: int) -> int:
        """Where the hunk ends whatever its counts are.

        Blank lines at the end belong to the page, and so does what a sentence begins.
        """
        end = self.boundary_from(start)
        last_known = next(
            (
                index
                for index in range(end - 1, max(start, end - MAX_TAIL) - 1, -1)
                if self.is_known(self._lines[index])
            ),
            start - 1,
        )
        for index in range(max(last_known + 1, start), min(end, start + MAX_TAIL)):
            if self._is_sentence(index):
                end = index
                break
        if self._section.broken and end == len(self._lines) and self._lines[end - 1].startswith(" "):
            return end  # The beginning of a line of context, and so the end of what was changed above.
        while end > start and not self._lines[end - 1]:
            end -= 1
        return end

    def _may_end(self, end: int) -> bool:
        """Whether what follows is no further line of the same hunk."""
        follows = end
        while follows < len(self._lines) and not self._lines[follows]:
            follows += 1
        if follows == self.boundary_from(follows):
            return True
        if follows > end and not self._section.enclosed:
            return not self._goes_on(follows)
        line = self._lines[follows]
        if line.startswith(BODY) or (self._section.enclosed and not is_prose(line)):
            return False
        return not self._goes_on(follows)

    def _goes_on(self, start: int) -> bool:
        """Whether lines of the baseline follow before the next header."""
        end = min(start + MAX_TAIL, self.boundary_from(start))
        return any(self.is_known(line) for line in self._lines[start:end])

    def _is_sentence(self, index: int) -> bool:
        line = self._lines[index]
        if line.startswith((*BODY, MARKER)):
            # A removed line and a point of a list look alike; the blank line before tells them apart.
            return line.startswith("- ") and index > 0 and not self._lines[index - 1] and is_prose(line)
        return is_prose(line)

    @cached_property
    def _boundaries(self) -> list[int]:
        """The lines that are no lines of a hunk, in ascending order."""
        return [
            index
            for index, line in enumerate(self._lines)
            if line.startswith(BOUNDARIES) or is_file_header(self._lines, index)
        ]
