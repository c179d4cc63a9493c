"""Errors over HTTP, as RFC 9457 problem documents with a stable `code`. Pure dictionaries."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 32
"""A body with thousands of mistakes is answered with the first of them."""
MAX_ECHOED_CHARACTERS = 200


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    value: Any = None,
    remedy: str | None = None,
    errors: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A problem document. `code` is stable for programs; `detail` and `remedy` are for people."""
    document: dict[str, Any] = {
        "type": f"urn:deltanas:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": _encodable(detail),
    }
    if field is not None:
        document["field"] = _encodable(field)
    if value is not None:
        document["value"] = _shortened(value)
    if remedy is not None:
        document["remedy"] = remedy
    if errors:
        document["errors"] = [dict(error) for error in errors]
    return document


_PLAIN_WORDS = {"extra_forbidden": "there is no such field", "missing": "this field is required"}
"""For the mistakes that people make most; of the rest the validator's own words are clear."""


def validation_problem(errors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """From pydantic's `errors()`: each error names its field, the value it had and what would be right."""
    listed = [
        {
            "field": _field(error),
            "message": _PLAIN_WORDS.get(error.get("type", ""), error.get("msg", "invalid")),
            "value": _shortened(error.get("input")),
        }
        for error in islice(errors, MAX_ERRORS)
    ]
    first = listed[0] if listed else {"field": "body", "message": "invalid", "value": None}
    return problem(
        422,
        "invalid_request",
        f"{first['field']}: {first['message']}",
        field=first["field"],
        value=first["value"],
        remedy="Correct the fields listed in `errors`; /docs shows every field with its range.",
        errors=listed,
    )


def _field(error: Mapping[str, Any]) -> str:
    return str(_shortened(".".join(str(part) for part in error.get("loc", ()) if part != "body"))) or "body"


def _shortened(value: Any) -> Any:
    """A value small and plain enough to echo."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    text = _encodable(str(value))
    return text if len(text) <= MAX_ECHOED_CHARACTERS else text[:MAX_ECHOED_CHARACTERS] + "…"


def _encodable(text: str) -> str:
    """JSON can carry lone surrogates in, but UTF-8 cannot carry them out again."""
    return text.encode("utf-8", "backslashreplace").decode()
