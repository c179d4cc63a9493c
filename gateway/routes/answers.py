"""How answers are rendered: those to requests that create something once, and so again for the same key."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response
from pydantic_core import to_json

from gateway.infra.idempotency import Answer, IdempotencyScope


def idempotency_scope(tenant: str, route: str, key: str | None, body: str) -> IdempotencyScope | None:
    """Whose key it is and for what; None without a key."""
    return None if key is None else IdempotencyScope(tenant, route, key, body)


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """What a route answers, as it is: its shape is the route's `response_model`, which refuses nothing here.

    What is on disk since an older version may lack a field; that is no reason for an error.
    """
    content = to_json(document, inf_nan_mode="null")
    return Response(content, status, headers, media_type="application/json")


def answer_response(answer: Answer) -> Response:
    """An answer over HTTP: 202 says when to ask again, `Location` where."""
    headers = {"retry-after": "1"} if answer.status == 202 else {}
    if answer.location is not None:
        headers["location"] = answer.location
    if answer.replayed:
        headers["idempotent-replayed"] = "true"
    # ASCII JSON: an item's problem may quote text that has no encoding.
    content = json.dumps(answer.body).encode()
    return Response(content, answer.status, headers, media_type="application/json")
