"""What a check of this machine says: what was found, and apart from it the command that mends it."""

from dataclasses import asdict, dataclass
from typing import Any

_LONGEST_REMEDY = 250


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. A failed check that is not `required` is only a hint."""

    name: str
    passed: bool
    found: str
    remedy: str = ""
    required: bool = True
    part: str = ""
    """What it belongs to: `software`, `namespaces`, `Docker` and the like."""

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def split_problem(problem: str) -> tuple[str, str]:
    """A backend's problem as finding and remedy: what follows the last `; ` mends it, if it is one line."""
    finding, mark, remedy = problem.rpartition("; ")
    if not mark or not remedy.strip() or "\n" in remedy or len(remedy) > _LONGEST_REMEDY:
        return problem.strip(), ""
    return finding.strip(), remedy.strip()
