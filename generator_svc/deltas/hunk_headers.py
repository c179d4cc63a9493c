"""Reads the line that opens a hunk, as far as it can be read."""

import re
from dataclasses import dataclass

RANGE = r"[ \t]{0,3}(\d{1,9})(?:[ \t]?,[ \t]?(\d{1,9}))?"
NUMBERS = re.compile(rf"-{RANGE}[ \t]{{1,4}}\+{RANGE}")


@dataclass(frozen=True)
class Header:
    """What stood between `@@` and `@@`, as far as it could be read. `start` is the 1-based old line."""

    start: int | None = None
    old_count: int | None = None
    new_count: int | None = None
    heading: str = ""


def header_of(line: str) -> Header:
    """What a line says that begins with `@@`."""
    heading = line.strip().lstrip("@").rpartition("@@")[2].strip() if line.count("@@") > 1 else ""
    numbers = NUMBERS.search(line[:80])
    if numbers is None:
        bare = line.strip("@ \t.…")
        return Header(heading=heading or bare)
    start, old, _, new = (None if group is None else int(group) for group in numbers.groups())
    return Header(start, 1 if old is None else old, 1 if new is None else new, heading)
