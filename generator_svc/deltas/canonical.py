"""The canonical delta: what `diff -u` would say between two sources, whatever the proposer wrote.

difflib's own formatter runs lines without a newline into each other, and its matcher is quadratic
or worse on sources made of repetitions; both are seen to here.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher

CONTEXT_LINES = 3
"""What diff puts around changes, so that numbers tell where the first and the last change is."""

MAX_MATCHING_STEPS = 5_000_000
"""An upper bound of difflib's work, above which the changed region is shown as one replacement."""

Opcode = tuple[str, int, int, int, int]


def canonical_delta(before: str, after: str, name: str = "net.py") -> str:
    """A unified diff with 3 lines of context; empty when nothing changes.

    A last line without newline is followed by the usual backslash marker. `apply_delta` gives
    `after` back, byte for byte.
    """
    if before == after:
        return ""
    old, new = source_lines(before), source_lines(after)
    parts = [f"--- a/{name}\n", f"+++ b/{name}\n"]
    for group in _groups(old, new):
        parts.extend(_hunk(group, old, new))
    return "".join(parts)


def source_lines(source: str) -> list[str]:
    """Lines with their newline. Only "\\n" ends a line: form feeds and lone CRs are content."""
    lines = [line + "\n" for line in source.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _groups(old: Sequence[str], new: Sequence[str]) -> Iterator[list[Opcode]]:
    """Opcodes, grouped by hunk, of the region between the common head and the common tail."""
    shortest = min(len(old), len(new))
    head = next((i for i in range(shortest) if old[i] != new[i]), shortest)
    tail = next((i for i in range(shortest - head) if old[-1 - i] != new[-1 - i]), shortest - head)
    # Context is taken from inside the region that is matched, so the region keeps some on either side.
    start, rest = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    before, after = old[start : len(old) - rest], new[start : len(new) - rest]
    groups: Iterable[list[Opcode]]
    if matching_steps(before, after) > MAX_MATCHING_STEPS:
        groups = [_one_replacement(head - start, tail - rest, len(before), len(after))]
    else:
        groups = SequenceMatcher(None, before, after).get_grouped_opcodes(CONTEXT_LINES)
    for group in groups:
        yield [(tag, i1 + start, i2 + start, j1 + start, j2 + start) for tag, i1, i2, j1, j2 in group]


def matching_steps(before: Sequence[Hashable], after: Sequence[Hashable]) -> int:
    """Pairs of equal lines, looked at once for each matching block in the worst case.

    From 200 lines on, difflib itself leaves out those that make up more than one in a hundred.
    """
    popular = len(after) // 100 + 1 if len(after) >= 200 else len(after)
    counts = Counter(after)
    pairs = sum(count for line in before if (count := counts[line]) <= popular)
    return pairs * min(len(before), len(after))


def _one_replacement(head: int, tail: int, old_size: int, new_size: int) -> list[Opcode]:
    old_end, new_end = old_size - tail, new_size - tail
    return [
        ("equal", 0, head, 0, head),
        ("replace", head, old_end, head, new_end),
        ("equal", old_end, old_size, new_end, new_size),
    ]


def _hunk(group: Sequence[Opcode], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
    for tag, i1, i2, j1, j2 in group:
        if tag == "equal":
            yield from (_line(" ", line) for line in old[i1:i2])
        else:
            yield from (_line("-", line) for line in old[i1:i2])
            yield from (_line("+", line) for line in new[j1:j2])


def _line(sign: str, line: str) -> str:
    return sign + line if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"


def _range(start: int, stop: int) -> str:
    """Line numbers as POSIX has them: an empty range names the line before it."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
