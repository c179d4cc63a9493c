"""The lines of a diff that name files: a delta changes one file that exists, and no more than its text.

The names themselves mean nothing here, because there is one source. They only have to agree.
"""

import re
from collections.abc import Sequence

from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted

GIT_HEADER = "diff --git "
FORBIDDEN = (
    (("new file mode ", "deleted file mode "), "creates or deletes a file"),
    (
        ("rename from ", "rename to ", "copy from ", "copy to ", "similarity index "),
        "renames or copies a file",
    ),
    (("old mode ", "new mode "), "changes the mode of a file"),
    (("GIT binary patch",), "is binary"),
)
BINARY_NOTICE = re.compile(r"^Binary files? .{1,400} differ$")


def is_file_header(lines: Sequence[str], index: int) -> bool:
    """Whether a `---` and `+++` pair stands here, with a hunk after it.

    Inside a hunk the same two lines may be a removed `-- x` and an added `++ y`; the `@@` after them
    tells the difference, unless the counts have already done so.
    """
    return is_header_pair(lines, index) and index + 2 < len(lines) and lines[index + 2].startswith("@@")


def is_header_pair(lines: Sequence[str], index: int) -> bool:
    """Whether a `---` line and a `+++` line follow each other here."""
    return index + 1 < len(lines) and lines[index].startswith("--- ") and lines[index + 1].startswith("+++ ")


class FileHeaders:
    """Follows the file headers through one answer."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._after_git_header = False

    def read(self, lines: Sequence[str], index: int) -> int:
        """How many lines a header takes here: 0, 1 or 2. Raises DeltaRefused (policy_violation)."""
        line = lines[index]
        self._after_git_header = self._after_git_header and index > 0
        if line.startswith(GIT_HEADER):
            self._after_git_header = True
            return 1
        if is_header_pair(lines, index):
            self._after_git_header = False
            self._name(_path(line), _path(lines[index + 1]))
            return 2
        if BINARY_NOTICE.match(line):
            raise _refused("is binary", line)
        if self._after_git_header:
            self._check_extended(line)
        return int(self._after_git_header)

    def _check_extended(self, line: str) -> None:
        for prefixes, what in FORBIDDEN:
            if line.startswith(prefixes):
                raise _refused(what, line)

    def _name(self, old: str, new: str) -> None:
        if "/dev/null" in {old, new}:
            raise _refused("creates or deletes a file", "/dev/null")
        if old.startswith("a/") and new.startswith("b/") and old[2:] != new[2:]:
            raise _refused("renames a file", f"{old} → {new}")
        path = new.removeprefix("b/")
        if self._path is not None and path != self._path:
            raise _refused("changes more than one file", path)
        self._path = path


def _path(header: str) -> str:
    return header[4:].split("\t", 1)[0].strip().strip('"')


def _refused(what: str, line: str) -> DeltaRefused:
    return DeltaRefused(
        RefusalReason.POLICY_VIOLATION,
        f"the delta {what} ({quoted(line)}); change only the text of the one baseline source",
    )
