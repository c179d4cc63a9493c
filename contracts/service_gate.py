"""The door of every service, in plain ASGI: who may come in, and how much they may carry.

`RequireToken` compares the SHA-256 of the bearer token in constant time, so a service that only
verifies never holds the secret itself. `BodyLimit` reads the body before the application does, up to
a limit, and refuses compressed bodies, so no handler ever meets an endless or exploding one.
"""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from contracts.problems import PROBLEM_MEDIA_TYPE, problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
METRICS_PATH = "/metrics"


def token_digest(token: str) -> str:
    """SHA-256 of a token, hex: what is stored and compared."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer_token(scope: Scope) -> str | None:
    """The token of an `Authorization: Bearer …` header, if any."""
    value = header(scope, b"authorization")
    if value is None or not value.lower().startswith("bearer "):
        return None
    return value[7:].strip()


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that lower-case name."""
    for key, value in scope.get("headers", ()):
        if key == name:
            return bytes(value).decode("latin-1")
    return None


class RequireToken:
    """Lets a request in only with the service token; /healthz and /readyz stay open.

    Whoever measures has a token of its own, which opens /metrics alone.
    """

    def __init__(self, app: App, token_sha256: str, metrics_token_sha256: str | None = None) -> None:
        self._app = app
        self._expected = token_sha256
        self._of_metrics = metrics_token_sha256 or token_sha256

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        token = bearer_token(scope)
        if token is None or not self._opens(scope["path"], token_digest(token)):
            await send_problem(
                send, problem(401, "service_token_required", "This service answers only to its own family.")
            )
            return
        await self._app(scope, receive, send)

    def _opens(self, path: str, digest: str) -> bool:
        is_service = hmac.compare_digest(digest, self._expected)
        return is_service or (path == METRICS_PATH and hmac.compare_digest(digest, self._of_metrics))


class BodyLimit:
    """Answers 413 to a body above the limit of its path, and 415 to a compressed one."""

    def __init__(self, app: App, limit_for_path: Callable[[str], int | None]) -> None:
        """`limit_for_path` gives bytes, or None where the handler itself reads a bounded stream."""
        self._app = app
        self._limit_for_path = limit_for_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body within its limit and replay it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if header(scope, b"content-encoding") not in {None, "identity"}:
            await send_problem(
                send,
                problem(415, "compressed_body", "Compressed bodies are refused.", remedy="Send it plain."),
            )
            return
        limit = self._limit_for_path(scope["path"])
        if limit is None:
            await self._app(scope, receive, send)
            return
        declared = header(scope, b"content-length")
        too_large = declared is not None and (not declared.isdigit() or int(declared) > limit)
        body = b"" if too_large else await _read_within(receive, limit)
        if too_large or body is None:
            await send_problem(
                send,
                problem(
                    413,
                    "body_too_large",
                    f"The request body is larger than {limit} bytes.",
                    field="body",
                    remedy=f"Send at most {limit} bytes; a source has at most 65536.",
                ),
            )
            return
        await self._app(scope, _replay(body, receive), send)


async def _read_within(receive: Receive, limit: int) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(chunks)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def send_problem(send: Send, document: dict[str, Any]) -> None:
    """Answer with a problem document."""
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if document["status"] == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": document["status"], "headers": headers})
    await send({"type": "http.response.body", "body": body})
