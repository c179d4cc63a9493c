"""Why an answer is refused: one exception inside this package, turned into data at its door.

The codes are those of `contracts.jobs.AppliedDelta.reason`. Everything quoted in a message is
shortened, because both the baseline and the delta may be hostile.
"""

from enum import StrEnum

QUOTED_CHARACTERS = 120


class RefusalReason(StrEnum):
    """The codes of `AppliedDelta.reason`."""

    NO_DIFF_FOUND = "no_diff_found"
    NO_SOURCE_FOUND = "no_source_found"
    HUNK_UNPLACEABLE = "hunk_unplaceable"
    AMBIGUOUS = "ambiguous"
    SYNTAX_ERROR = "syntax_error"
    NO_OP = "no_op"
    CONTRACT_LOST = "contract_lost"
    POLICY_VIOLATION = "policy_violation"
    FORBIDDEN_REGION = "forbidden_region"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"


class DeltaRefused(Exception):
    """The answer cannot be applied. `message` is a full sentence that ends with the remedy."""

    def __init__(self, reason: RefusalReason, message: str, hunk: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hunk = hunk
        """The 1-based number of the hunk to blame, where it is one."""


def quoted(line: str) -> str:
    """A line fit to stand in a message: escaped, and at most QUOTED_CHARACTERS of it."""
    shown = line if len(line) <= QUOTED_CHARACTERS else line[:QUOTED_CHARACTERS] + "…"
    return repr(shown)
