"""From sections of an answer to hunks as they were written. What a line means is for `written` to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.extract import Section
from generator_svc.deltas.file_headers import FileHeaders
from generator_svc.deltas.hunk_ends import BODY, MARKS, MAX_TAIL, HunkEnds
from generator_svc.deltas.hunk_headers import Header, header_of
from generator_svc.deltas.lost_lines import check_lost, looks_lost
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason
from generator_svc.deltas.search_replace import is_search, read_search_replace

MAX_HUNKS = 4096
"""About what a canonical delta of the largest source can have."""


@dataclass(frozen=True)
class RawHunk:
    """One hunk as it was written."""

    number: int
    header: Header
    lines: tuple[str, ...]
    block: int
    """Hunks of one block were written in one breath; those of another may contradict them."""
    counted: bool
    """The counts of the header came out."""
    cut: bool = False
    """The answer ends with this hunk, openly."""
    broken: bool = False
    """Its last line has no newline."""
    enclosed: bool = False
    """It stands in a fence or tag, closed or not."""

    @property
    def is_marked(self) -> bool:
        """Whether any line is marked as added or removed."""
        return any(line.startswith(MARKS) for line in self.lines)


def read_hunks(sections: Sequence[Section], baseline: Baseline) -> list[RawHunk]:
    """All hunks of an answer, in order.

    Raises DeltaRefused: no_diff_found, ambiguous, truncated, policy_violation, too_large.
    """
    if sum(line.startswith("@@") for section in sections for line in section.lines) > MAX_HUNKS:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE, f"the delta has more than {MAX_HUNKS} hunks; merge those that are close"
        )
    headers = FileHeaders()
    found: list[RawHunk] = []
    lost: list[str] = []
    for section in sections:
        reader = _SectionReader(section, headers, baseline, found)
        found.extend(reader.read())
        lost.extend(reader.lost)
    if found and _ends_in_header(sections[-1]):
        raise DeltaRefused(
            RefusalReason.TRUNCATED,
            f"the answer breaks off at the header of hunk {found[-1].number + 1}; send the whole delta "
            "again, as short as possible",
        )
    if not found:
        raise DeltaRefused(
            RefusalReason.NO_DIFF_FOUND,
            "the answer contains no unified diff; write hunks under `@@ -line,count +line,count @@` headers",
        )
    if lost:
        check_lost(lost, (line for hunk in found for line in hunk.lines))
    return found


class _SectionReader:
    """Reads one section line by line; at most a constant number of looks at each line."""

    def __init__(
        self, section: Section, headers: FileHeaders, baseline: Baseline, before: Sequence[RawHunk]
    ) -> None:
        self._section = section
        self._lines = section.lines
        self._headers = headers
        self._baseline = baseline
        self._ends = HunkEnds(section, baseline)
        self._number = len(before)
        self._block = before[-1].block + 1 if before else 0
        self.lost: list[str] = []
        """Lines read so far that look like a change and stand in no hunk."""
        self._at = 0
        self._end = next((n for n in range(len(self._lines), 0, -1) if self._lines[n - 1].strip()), 0)
        """Behind the last visible line."""

    def read(self) -> list[RawHunk]:
        hunks: list[RawHunk] = []
        while self._at < len(self._lines):
            hunk = self._next_hunk(not hunks)
            if hunk is not None and any(line.strip() for line in hunk.lines):
                hunks.append(hunk)
                self._number += 1
        if not hunks and not self._section.enclosed:
            self.lost.clear()  # A page without a hunk is prose, and so are its lists.
        return hunks

    def _next_hunk(self, first: bool) -> RawHunk | None:
        line = self._lines[self._at]
        if line.startswith("@@"):
            self._at += 1
            return self._headed_hunk(header_of(line))
        if is_search(line):
            body, self._at = read_search_replace(self._lines, self._at)
            return self._hunk(Header(), body, counted=False)
        taken = self._headers.read(self._lines, self._at)
        if taken:
            self._at += taken
            self._block += taken == 2 and not first
            return self._bare_hunk() if self._headers.opens_body else None
        if first and line.strip() and self._reads_as_hunk():
            return self._bare_hunk()
        if looks_lost(line, self._section.enclosed, self._baseline):
            self.lost.append(line)
        self._at += 1
        return None

    def _reads_as_hunk(self) -> bool:
        """Whether lines without any header are a hunk: by their marks, and by what the baseline contains."""
        line = self._lines[self._at]
        if not line.startswith(BODY if self._section.announced else MARKS) and not self._baseline.is_known(
            line
        ):
            return False
        counts = self._counts
        end = min(self._at + MAX_TAIL, self._ends.boundary_from(self._at))
        old, known, marked = (
            after - before for before, after in zip(counts[self._at], counts[end], strict=True)
        )
        return bool(marked) and (self._section.announced or 0 < old <= 2 * known)

    def _headed_hunk(self, header: Header) -> RawHunk | None:
        end = self._ends.counted(self._at, header)
        if end is not None:
            return self._take(end, header, counted=True)
        return self._take(self._ends.uncounted(self._at), header)

    def _bare_hunk(self) -> RawHunk | None:
        if self._at == len(self._lines):
            return None
        line = self._lines[self._at]
        if line.startswith("@@") or not (line.startswith(BODY) or self._baseline.is_known(line)):
            return None
        return self._take(self._ends.uncounted(self._at), Header())

    def _take(self, end: int, header: Header, counted: bool = False) -> RawHunk:
        body = self._lines[self._at : end]
        self._at = end
        return self._hunk(header, body, counted)

    def _hunk(self, header: Header, body: tuple[str, ...], counted: bool) -> RawHunk:
        last = self._at >= self._end
        cut, broken = self._section.cut and last, self._section.broken and self._at == len(self._lines)
        enclosed = self._section.enclosed
        return RawHunk(self._number + 1, header, body, self._block, counted, cut, broken, enclosed)

    @cached_property
    def _counts(self) -> list[tuple[int, int, int]]:
        """Of the visible lines before each line: old ones, those of them that are known, marked ones."""
        old = known = marked = 0
        counts = [(0, 0, 0)]
        for line in self._lines:
            if line.strip():
                old += not line.startswith("+")
                known += self._ends.is_known(line)
                marked += line.startswith(MARKS)
            counts.append((old, known, marked))
        return counts


def _ends_in_header(section: Section) -> bool:
    """Whether the last thing that was written promises a hunk."""
    last = next((line for line in reversed(section.lines) if line.strip()), "")
    return section.cut and last.startswith("@@ -")
