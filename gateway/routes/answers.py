"""Answers to requests that create something: rendered once, and given again to the same Idempotency-Key."""

import json

from fastapi import Response

from gateway.infra.idempotency import Answer, IdempotencyScope


def idempotency_scope(tenant: str, route: str, key: str | None, body: str) -> IdempotencyScope | None:
    """Whose key it is and for what; None without a key."""
    return None if key is None else IdempotencyScope(tenant, route, key, body)


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
