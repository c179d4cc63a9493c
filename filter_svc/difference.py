"""The lines in which an architecture differs from the one that it is near to, for people."""

from difflib import unified_diff

MAX_COMPARED_LINES = 3000
"""Of each source; longer ones are compared down to there."""
MAX_LINES = 200
MAX_LINE_CHARACTERS = 300


def difference(earlier: str, source: str, name: str) -> tuple[str, ...]:
    """A unified diff from the earlier source to this one, without line ends; what is cut off says so."""
    before, after = earlier.splitlines()[:MAX_COMPARED_LINES], source.splitlines()[:MAX_COMPARED_LINES]
    lines = [_cut(line) for line in unified_diff(before, after, name, "this source", lineterm="")]
    if len(lines) <= MAX_LINES:
        return tuple(lines)
    return (*lines[: MAX_LINES - 1], f"… {len(lines) - MAX_LINES + 1} more lines")


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE_CHARACTERS else line[: MAX_LINE_CHARACTERS - 1] + "…"
