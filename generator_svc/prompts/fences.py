"""Markdown fences around text that nobody has vouched for."""

import re

BACKTICKS = re.compile(r"`+")


def fence_around(text: str) -> str:
    """A fence of backticks that nothing in the text can close: longer than any run of them."""
    longest = max((len(run) for run in BACKTICKS.findall(text)), default=0)
    return "`" * max(3, longest + 1)
