"""What the OpenAPI documents of the services inside have in common: the token, and problem documents.

A framework derives a document from the routes of a service; it knows neither the door that stands before
them nor what its handlers make of errors. Pure dictionaries.
"""

from collections.abc import Mapping
from typing import Any

from contracts.problems import PROBLEM_MEDIA_TYPE
from contracts.service_gate import OPEN_PATHS

Json = dict[str, Any]

NDJSON = "application/x-ndjson"
OCTETS = "application/octet-stream"
TAR = "application/x-tar"

_READINESS_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "status": {"enum": ["ok", "unready"]},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["status", "reasons"],
}
_READINESS_CONTENT = {"application/json": {"schema": _READINESS_SCHEMA}}
READINESS: dict[int | str, Json] = {
    200: {"description": "It can work.", "content": _READINESS_CONTENT},
    503: {"description": "It cannot, and says why.", "content": _READINESS_CONTENT},
}
"""What `/readyz` answers."""

_FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")
_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_TEXT = {"type": "string"}
_PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457, as `contracts.problems.problem` makes it. What does not apply is left out.",
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "For programs; never changes."},
        "detail": _TEXT,
        "field": {"type": "string", "description": "What of the request is wrong."},
        "value": {"description": "What it was, shortened."},
        "remedy": _TEXT,
        "errors": {"type": "array", "items": {"type": "object"}, "description": "Each of several mistakes."},
    },
    "required": ["type", "title", "status", "code", "detail"],
}
_MEANINGS = {
    400: "The body is no JSON in UTF-8.",
    401: "Not the token of the family.",
    404: "There is no such thing.",
    409: "The state of things does not allow it.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "A field is wrong: the problem names it, its value and the remedy.",
    503: "Not now: the problem says what is away or full.",
}
_ALWAYS = (401, 413, 415)


def completed(
    document: Json, may_answer: Mapping[str, tuple[int, ...]], streams: Mapping[str, str] | None = None
) -> Json:
    """The document with all that its service answers.

    `may_answer`: by path, the problems beside those that every call has; a call with parameters or a body
    has 422, one with a body 400. `streams`: by path, as what it answers 200 where that is no JSON.
    """
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FRAMEWORKS_OWN:
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    document["components"]["securitySchemes"] = {"family": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, path, may_answer.get(path, ()))
            if streams is not None and path in streams:
                content = {streams[path]: {"schema": {"type": "string"}}}
                operation["responses"].get("200", {})["content"] = content
    return document


def _complete(operation: Json, path: str, more: tuple[int, ...]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    asks = "requestBody" in operation or bool(operation.get("parameters"))
    is_open = path in OPEN_PATHS
    operation["security"] = [] if is_open else [{"family": []}]
    statuses = {
        *(_ALWAYS[1:] if is_open else _ALWAYS),
        *more,
        *((422,) if asks else ()),
        *((400,) if "requestBody" in operation else ()),
    }
    for status in sorted(statuses):
        content = {PROBLEM_MEDIA_TYPE: {"schema": _REFERENCE}}
        responses.setdefault(str(status), {"description": _MEANINGS[status], "content": content})
