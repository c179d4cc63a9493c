"""From sections of an answer to hunks: numbers are repaired here, content is not.

Language models count badly, so each hunk is first read by its own counts and, where these do not
come out, by the shape of its lines. The hunks are then written again with true counts and parsed by
`unidiff`, whose own reader refuses any header that does not add up. What is not plainly one diff of
one existing file is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from unidiff import PatchSet
from unidiff.errors import UnidiffParseError

from generator_svc.deltas.extract import Section
from generator_svc.deltas.file_headers import FileHeaders, is_file_header
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted

HEADER = re.compile(r"^@@ {0,4}-(\d{1,9})(?:,(\d{1,9}))? {1,4}\+(\d{1,9})(?:,(\d{1,9}))? {0,4}@@")
MARKER = "\\ "
"""Begins `\\ No newline at end of file`, in whatever language."""

BODY = (" ", "+", "-")

MAX_HUNKS = 4096
"""About what a canonical delta of the largest source can have."""


@dataclass(frozen=True)
class Edit:
    """One line of a hunk: `sign` is " ", "-" or "+"; `unended` if the file ends here without a newline."""

    sign: str
    text: str
    unended: bool = False


@dataclass(frozen=True)
class Hunk:
    """One hunk. `hint` is the 0-based baseline line at which its header puts it, if the header says."""

    number: int
    hint: int | None
    edits: tuple[Edit, ...]

    @cached_property
    def old(self) -> tuple[str, ...]:
        """The lines that the baseline must have."""
        return tuple(edit.text for edit in self.edits if edit.sign != "+")


@dataclass(frozen=True)
class _RawHunk:
    old_start: int | None
    body: tuple[str, ...]

    def count(self, other_side: str) -> int:
        return sum(1 for line in self.body if line[:1] not in {other_side, "\\"})


def parse_hunks(sections: Sequence[Section]) -> tuple[Hunk, ...]:
    """All hunks of an answer, in order.

    Raises DeltaRefused: no_diff_found, hunk_unplaceable (malformed), policy_violation, too_large.
    """
    headers = FileHeaders()
    if sum(line.startswith("@@") for section in sections for line in section.lines) > MAX_HUNKS:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE, f"the delta has more than {MAX_HUNKS} hunks; merge those that are close"
        )
    raw = [hunk for section in sections for hunk in _SectionReader(section, headers).read()]
    if not raw:
        raise DeltaRefused(
            RefusalReason.NO_DIFF_FOUND,
            "the answer contains no unified diff; write hunks under `@@ -line,count +line,count @@` headers",
        )
    return _parsed(raw)


def _parsed(raw: Sequence[_RawHunk]) -> tuple[Hunk, ...]:
    """Write the hunks with true counts and let unidiff read them."""
    lines = ["--- a/net.py\n", "+++ b/net.py\n"]
    for hunk in raw:
        start = hunk.old_start or 0
        lines.append(f"@@ -{start},{hunk.count('+')} +{start},{hunk.count('-')} @@\n")
        lines.extend(_written(line) for line in hunk.body)
    try:
        (patch,) = PatchSet(lines)
    except (UnidiffParseError, ValueError) as error:
        raise DeltaRefused(
            RefusalReason.HUNK_UNPLACEABLE, f"the diff cannot be read: {quoted(str(error))}; write it again"
        ) from error
    return tuple(
        Hunk(number, _hint(source), _edits(parsed))
        for number, (source, parsed) in enumerate(zip(raw, patch, strict=True), 1)
    )


def _written(line: str) -> str:
    """A blank line has lost its space; a marker may be in any language."""
    return f"{line or ' '}\n" if not line.startswith(MARKER) else "\\ No newline at end of file\n"


def _hint(raw: _RawHunk) -> int | None:
    if raw.old_start is None:
        return None
    return raw.old_start - 1 if raw.count("+") else raw.old_start


def _edits(lines: Sequence) -> tuple[Edit, ...]:
    edits: list[Edit] = []
    for line in lines:
        if line.line_type == "\\":
            edits[-1:] = [Edit(edit.sign, edit.text, unended=True) for edit in edits[-1:]]
        else:
            edits.append(Edit(line.line_type, line.value.removesuffix("\n")))
    return tuple(edits)


class _SectionReader:
    """Reads one section line by line; at most a constant number of looks at each line."""

    def __init__(self, section: Section, headers: FileHeaders) -> None:
        self._section = section
        self._lines = section.lines
        self._headers = headers
        self._at = 0
        self._uncertain = False
        """The last hunk ended where its counts did not say so."""

    def read(self) -> list[_RawHunk]:
        hunks: list[_RawHunk] = []
        while self._at < len(self._lines):
            hunk = self._next_hunk(bool(hunks))
            if hunk is not None and hunk.count("+") + hunk.count("-"):
                hunks.append(hunk)
        return hunks

    def _next_hunk(self, after_hunk: bool) -> _RawHunk | None:
        line = self._lines[self._at]
        if line.startswith("@@"):
            self._at += 1
            return self._numbered_hunk(line)
        taken = self._headers.read(self._lines, self._at)
        if taken:
            self._at += taken
            headed = taken == 2 and self._at < len(self._lines)
            return self._unnumbered_hunk() if headed and self._lines[self._at].startswith(BODY) else None
        if not after_hunk and self._section.announced and self._starts_bare_hunk():
            return self._unnumbered_hunk()
        if (
            after_hunk
            and line
            and (self._section.enclosed or (self._uncertain and line.startswith(BODY[1:])))
        ):
            raise self._malformed()
        self._at += 1
        return None

    def _starts_bare_hunk(self) -> bool:
        """No header at all, only lines of a hunk, from the first line to the last."""
        return not any(self._lines[: self._at]) and all(
            line.startswith((*BODY, MARKER)) or not line for line in self._lines
        )

    def _numbered_hunk(self, header: str) -> _RawHunk:
        match = HEADER.match(header)
        if match is None:
            return self._unnumbered_hunk()
        start, old, _, new = (None if group is None else int(group) for group in match.groups())
        end = self._counted_end(1 if old is None else old, 1 if new is None else new)
        if end is None:
            return self._unnumbered_hunk(start)
        self._uncertain = False
        return self._take(end, start)

    def _unnumbered_hunk(self, start: int | None = None) -> _RawHunk:
        """Read as far as the lines look like a hunk; blank lines at the end belong to the page, not to it."""
        begin, end = self._at, self._at
        while end < len(self._lines) and not self._is_boundary(end):
            line = self._lines[end]
            if line and not line.startswith((*BODY, MARKER)):
                if self._section.enclosed or self._lines[end - 1] or end == begin:
                    self._at = end
                    raise self._malformed()
                break
            end += 1
        hunk = self._take(end, start)
        body = list(hunk.body)
        while body and not body[-1]:
            body.pop()
        self._uncertain = True
        return _RawHunk(start, tuple(body))

    def _counted_end(self, old: int, new: int) -> int | None:
        """Where the hunk ends if its counts are right; None if they are not."""
        end = self._at
        while (old > 0 or new > 0) and end < len(self._lines):
            line = self._lines[end]
            if line and not line.startswith((*BODY, MARKER)):
                return None
            if not line.startswith("\\"):
                old -= not line.startswith("+")
                new -= not line.startswith("-")
            end += 1
        if old or new or end == self._at:
            return None
        while end < len(self._lines) and self._lines[end].startswith(MARKER):
            end += 1
        return end if self._may_end(end) else None

    def _may_end(self, end: int) -> bool:
        """Whether what follows is no further line of the same hunk."""
        follows = end
        while follows < len(self._lines) and not self._lines[follows]:
            follows += 1
        if follows == len(self._lines) or self._is_boundary(follows):
            return True
        if follows > end and not self._section.enclosed:
            return True
        return not self._lines[follows].startswith(BODY)

    def _is_boundary(self, index: int) -> bool:
        return self._lines[index].startswith(("@@", "diff --git ")) or is_file_header(self._lines, index)

    def _take(self, end: int, start: int | None) -> _RawHunk:
        body = tuple(self._lines[self._at : end])
        self._at = end
        return _RawHunk(start, body)

    def _malformed(self) -> DeltaRefused:
        number = self._section.first_line + self._at
        return DeltaRefused(
            RefusalReason.HUNK_UNPLACEABLE,
            f"line {number} of the delta, {quoted(self._lines[self._at])}, stands among hunks but is no part "
            "of one; begin context lines with a space, removed ones with `-`, added ones with `+`",
        )
