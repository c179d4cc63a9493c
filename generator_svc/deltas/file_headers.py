"""The lines of a diff that name files: a delta changes one file that exists, and no more than its text.

The names themselves mean nothing here, because there is one source. They only have to agree.
"""

import re
from collections.abc import Sequence

from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted

GIT_HEADER = "diff --git "
PATCH_HEADER = "*** "
"""Begins the lines of the `*** Begin Patch` form that name files."""
UPDATED_FILE = "*** Update File: "
FORBIDDEN = (
    (("new file mode ", "deleted file mode "), "creates or deletes a file"),
    (
        ("rename from ", "rename to ", "copy from ", "copy to ", "similarity index "),
        "renames or copies a file",
    ),
    (("old mode ", "new mode "), "changes the mode of a file"),
    (("GIT binary patch",), "is binary"),
)
FORBIDDEN_IN_PATCHES = (
    (("*** Add File:", "*** Delete File:"), "creates or deletes a file"),
    (("*** Move to:",), "renames a file"),
)
NAMED_FILE = re.compile(r"^(?:--- a|\+\+\+ b)/\S{1,200}$")
BINARY_NOTICE = re.compile(r"^Binary files? .{1,400} differ$")


def is_file_header(lines: Sequence[str], index: int) -> bool:
    """Whether a `---` and `+++` pair, or what is left of one, stands here, with a hunk after it.

    Inside a hunk the same two lines may be a removed `-- x` and an added `++ y`; the `@@` after them
    tells the difference, or their names, unless the counts have already done so.
    """
    if not lines[index].startswith(("--- ", "+++ ")):
        return False
    names_file = bool(NAMED_FILE.match(lines[index]))
    if is_header_pair(lines, index):
        return (names_file and bool(NAMED_FILE.match(lines[index + 1]))) or _opens_hunk(lines, index + 2)
    return names_file and _opens_hunk(lines, index + 1)


def _opens_hunk(lines: Sequence[str], index: int) -> bool:
    return index < len(lines) and lines[index].startswith("@@")


def is_header_pair(lines: Sequence[str], index: int) -> bool:
    """Whether a `---` line and a `+++` line follow each other here."""
    return index + 1 < len(lines) and lines[index].startswith("--- ") and lines[index + 1].startswith("+++ ")


class FileHeaders:
    """Follows the file headers through one answer."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._after_git_header = False
        self.opens_body = False
        """What was read last may be followed by the lines of a hunk that has no header of its own."""

    def read(self, lines: Sequence[str], index: int) -> int:
        """How many lines a header takes here: 0, 1 or 2. Raises DeltaRefused (policy_violation)."""
        line = lines[index]
        self.opens_body = False
        is_change = line.startswith(("+", "-")) and not NAMED_FILE.match(line)
        self._after_git_header = self._after_git_header and index > 0 and not is_change
        if line.startswith(GIT_HEADER):
            self._after_git_header = True
            return 1
        if is_header_pair(lines, index):
            self._after_git_header = False
            self.opens_body = True
            self._name(_path(line), _path(lines[index + 1]))
            return 2
        if line.startswith(PATCH_HEADER):
            self._read_patch_header(line)
            return 1
        if NAMED_FILE.match(line) and _opens_hunk(lines, index + 1):
            return 1
        if BINARY_NOTICE.match(line):
            raise _refused("is binary", line)
        if self._after_git_header:
            self._check(line, FORBIDDEN)
        return int(self._after_git_header)

    def _read_patch_header(self, line: str) -> None:
        self._check(line, FORBIDDEN_IN_PATCHES)
        if line.startswith(UPDATED_FILE):
            self.opens_body = True
            self._check_names(line.removeprefix(UPDATED_FILE).strip())

    def _check(self, line: str, forbidden: Sequence[tuple[tuple[str, ...], str]]) -> None:
        for prefixes, what in forbidden:
            if line.startswith(prefixes):
                raise _refused(what, line)

    def _name(self, old: str, new: str) -> None:
        if "/dev/null" in {old, new}:
            raise _refused("creates or deletes a file", "/dev/null")
        self._check_names(old.removeprefix("a/"), new.removeprefix("b/"))

    def _check_names(self, *names: str) -> None:
        """Models call the two sides as they like; one that shares no name with the last is another file."""
        if self._names and self._names.isdisjoint(names):
            raise _refused("changes more than one file", names[-1])
        self._names = frozenset(names)


def _path(header: str) -> str:
    return header[4:].split("\t", 1)[0].strip().strip('"')


def _refused(what: str, line: str) -> DeltaRefused:
    return DeltaRefused(
        RefusalReason.POLICY_VIOLATION,
        f"the delta {what} ({quoted(line)}); change only the text of the one baseline source",
    )
