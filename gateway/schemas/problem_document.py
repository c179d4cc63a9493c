"""How an error looks in JSON, for the document of the API: RFC 9457, with a stable `code`."""

from dataclasses import dataclass
from typing import Any

from gateway.schemas.shape import DESCRIBED


@dataclass(frozen=True)
class FieldError:
    """One mistake of several."""

    __pydantic_config__ = DESCRIBED

    field: str
    message: str
    value: Any = None
    reason: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class ProblemDocument:
    """What `contracts.problems.problem` makes. What does not apply is left out."""

    __pydantic_config__ = DESCRIBED

    type: str
    title: str
    status: int
    code: str
    """For programs; never changes."""
    detail: str
    field: str | None = None
    """What of the request is wrong: a field of the body, a parameter or a header."""
    value: Any = None
    """What it was, shortened."""
    remedy: str | None = None
    errors: list[FieldError] | None = None
    line: int | None = None
    """Of the source that is refused, from 1."""
    reason: str | None = None
    """Of a delta that is refused, the applier's code."""
