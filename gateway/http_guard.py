"""What stands before the application, in plain ASGI: ambiguous and large bodies, foreign pages.

A gateway on loopback lets callers in without a key. A web page in the user's browser is such a caller,
too: directly (a cross-site form), or through a name of its own that resolves to 127.0.0.1 (DNS
rebinding). `RefuseForeignPages` keeps both out.
"""

import re
from urllib.parse import urlsplit

from contracts.problems import problem
from contracts.service_gate import App, Message, Receive, RequireToken, Scope, Send, header, send_problem
from gateway.config import LOOPBACK_HOSTS

KIB = 1024
JSON_LIMIT = 512 * KIB
BATCH_LIMIT = 8 * KIB * KIB
REPORT_LIMIT = 32 * KIB * KIB

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def body_limit(path: str) -> int | None:
    """Bytes that a request to the path may carry; None where the handler streams."""
    if path in {"/v1/datasets", "/v1/baselines:import"}:
        return None
    if path == "/v1/evaluations:batch":
        return BATCH_LIMIT
    if path.startswith("/internal/v1/fine-tune-attempts/") and path.endswith("/adapter"):
        return None
    if path.startswith(("/internal/v1/attempts/", "/internal/v1/fine-tune-attempts/")):
        return REPORT_LIMIT
    return JSON_LIMIT


class RefuseAmbiguousLength:
    """Answers 400 to a body with both a length and chunks: a proxy in front may read it in the other way.

    What follows on the connection could then be a request that the proxy never saw; so the connection ends.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what can be read in one way only."""
        both = {b"content-length", b"transfer-encoding"}
        if scope["type"] != "http" or not both <= {name for name, _ in scope["headers"]}:
            await self._app(scope, receive, send)
            return
        await send_problem(
            send,
            problem(
                400,
                "ambiguous_length",
                "The request has both a Content-Length and a Transfer-Encoding.",
                field="Transfer-Encoding",
                remedy="Send one of the two.",
            ),
        )


class HeadAsGet:
    """Answers HEAD as GET without the body: probes and link checkers ask that way."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HEAD on as GET and let the head of its answer through."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_head)
        finally:
            scope.update({name: as_get[name] for name in ("route", "path_params") if name in as_get})


class RefuseForeignPages:
    """Answers 421 to an unknown Host and 403 to a state change that another origin's page asks for."""

    def __init__(self, app: App, allowed_hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = LOOPBACK_HOSTS | set(allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from this machine's own programs and pages."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await send_problem(send, refusal)

    def _refusal(self, scope: Scope) -> dict[str, object] | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        host = header(scope, b"host") or ""
        if len(hosts) > 1 or _host_name(host) not in self._hosts:
            return problem(
                421,
                "host_not_allowed",
                "This gateway does not answer to that Host.",
                field="Host",
                value=host,
                remedy="Call it as 127.0.0.1 or localhost, or list the name in DELTANAS_ALLOWED_HOSTS.",
            )
        if scope["method"] in SAFE_METHODS:
            return None
        origin = header(scope, b"origin")
        foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
        if foreign or header(scope, b"sec-fetch-site") in {"cross-site", "same-site"}:
            return problem(
                403,
                "cross_origin_refused",
                "A page of another origin may not change anything here.",
                field="Origin",
                value=origin,
                remedy="Call the gateway from its own pages, from a program, or with an API key elsewhere.",
            )
        return None


class GuardInternal:
    """Asks for the service token on everything below /internal."""

    def __init__(self, app: App, token_sha256: str) -> None:
        self._app = app
        self._guarded = RequireToken(app, token_sha256)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass public calls on; let agents in with the token alone."""
        internal = scope["type"] == "http" and scope["path"].startswith("/internal")
        await (self._guarded if internal else self._app)(scope, receive, send)


def _host_name(host: str) -> str:
    """The name in a Host header; empty for anything but a name, and perhaps a port."""
    if not _HOST.fullmatch(host):
        return ""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
