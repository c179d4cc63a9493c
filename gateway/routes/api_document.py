"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know of them.

That is: who needs a key, and with which problem documents a call may be answered. What all calls have in
common is said here; a route names what it alone may answer, with `may_answer`.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from contracts.problems import PROBLEM_MEDIA_TYPE
from contracts.syntax import ONE_AT_A_TIME
from gateway.callers import UNLIMITED_PATHS
from gateway.schemas.problem_document import ProblemDocument
from gateway.schemas.training_pairs_shape import TrainingPairsLine

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_PROBLEM = ProblemDocument.__name__
_BESIDE: tuple[tuple[type, JsonSchemaMode], ...] = (
    (TrainingPairsLine, "serialization"),
    (ProblemDocument, "validation"),
)
"""What is answered without being any route's `response_model`. Of a problem, what is None is left out."""
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")

_MEANINGS = {
    400: "The body is not JSON, or its length is ambiguous.",
    401: "No API key, or one that is not in force.",
    403: "The API key lacks a scope, a quota is used up, or a page of another origin asks.",
    404: "There is no such thing, or it is another tenant's.",
    409: "The state that the thing is in does not allow it.",
    413: "The body is too large.",
    415: "The body is of another kind, or compressed.",
    421: "The gateway does not answer to that Host.",
    422: "A field is wrong: the problem names it, its value and the remedy.",
    429: "Too often, or too much at a time; `Retry-After` says when to come again.",
    500: "The gateway failed: a defect of its own. `X-Request-ID` names the request in its log.",
    502: "A service of the platform refused what the gateway asked of it.",
    503: "A part of the platform is away; `Retry-After` says when to come again.",
    507: "The disk of the gateway is full.",
}
_ALWAYS = (400, 413, 415, 500)
_WITH_CALLER = (401, 403, 429, 503)


def may_answer(*statuses: int) -> dict[int | str, Json]:
    """Problems with which a route may answer beside those that every call has."""
    return {status: _problem(status) for status in statuses}


def or_a_problem(status: int, model: type) -> dict[int | str, Json]:
    """A status with which a route answers a document of its own or a problem."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    problem = _problem(status)
    return {status: problem | {"content": {"application/json": {"schema": schema}, **problem["content"]}}}


def may_send(media_type: str, meaning: str, lines: type | None = None) -> dict[int | str, Json]:
    """That a route answers 200 with something else than JSON; `lines`: what each is, one of `_BESIDE`."""
    content: Json = {"schema": {"type": "string"}}
    if lines is not None:
        content["itemSchema"] = {"$ref": _REFERENCE.format(model=lines.__name__)}
    return {200: {"description": meaning, "content": {media_type: content}}}


def takes_octets(meaning: str) -> Json:
    """`openapi_extra` of a route whose body is a file."""
    schema = {"type": "string", "format": "binary"}
    content = {"application/octet-stream": {"schema": schema}}
    return {"requestBody": {"required": True, "description": meaning, "content": content}}


def document_of(app: FastAPI, *, keyless: bool) -> Callable[[], Json]:
    """What makes the application's document, once."""

    def document() -> Json:
        # Pydantic parses the sources of models for what is written below their fields.
        with ONE_AT_A_TIME:
            if app.openapi_schema is None:
                derived = get_openapi(title=app.title, version=app.version, routes=app.routes)
                app.openapi_schema = _completed(derived, keyless)
            return app.openapi_schema

    return document


def _completed(document: Json, keyless: bool) -> Json:
    schemas = document["components"]["schemas"]
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    for model, mode in _BESIDE:
        described = TypeAdapter(model).json_schema(ref_template=_REFERENCE, mode=mode)
        schemas |= described.pop("$defs")
        schemas[model.__name__] = described
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key, `dn_…`."}
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, path, keyless)
    return document


def _complete(operation: Json, path: str, keyless: bool) -> None:
    is_open = path in UNLIMITED_PATHS
    operation["security"] = [] if is_open else [{"key": []}] + ([{}] if keyless else [])
    responses = operation["responses"]
    asks = "requestBody" in operation or bool(operation.get("parameters"))
    statuses = {
        *_ALWAYS,
        *(() if is_open else _WITH_CALLER),
        *((421,) if keyless else ()),
        *((404,) if "{" in path else ()),
        *((422,) if asks else ()),
    }
    # FastAPI's own idea of a 422 is not ours; a route's own may be.
    if _is_fastapis(responses.get("422")):
        del responses["422"]
    for status in statuses:
        responses.setdefault(str(status), _problem(status))
    operation["responses"] = dict(sorted(responses.items()))


def _is_fastapis(response: Json | None) -> bool:
    return response is not None and _FASTAPIS_OWN[0] in str(response.get("content"))


def _problem(status: int) -> Json:
    schema = {"$ref": _REFERENCE.format(model=_PROBLEM)}
    return {"description": _MEANINGS[status], "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
