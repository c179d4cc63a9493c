"""Names every request of a service and writes it down, in plain ASGI.

The name is the caller's `X-Request-ID` when it is plain, else a new one. It stands in the answer and in
every record that the request leads to, here and in the services that are asked on the way.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from contracts.log_context import REQUEST_ID_HEADER, log_context
from contracts.service_gate import OPEN_PATHS, App, Message, Receive, Scope, Send, header

log = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"
MAX_PATH_CHARACTERS = 300
_QUIET = re.compile(r"/healthz|/readyz|/metrics|/internal/.*|/v1/attempts.*|/v1/capabilities")
"""What machines ask all the time; written down only where it goes wrong."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,80}")
_IDS = ("search_id", "evaluation_id", "attempt_id")


@dataclass(frozen=True)
class Served:
    """One request, as a metric may know it: nothing in it is the caller's free choice."""

    route: str
    """The template, such as `/v1/evaluations/{evaluation_id}`; `none` where no route matched."""
    method: str
    """In capitals; `other` for what HTTP does not know."""
    status: str
    """Its class, such as `2xx`; `none` where the caller went away before an answer began."""
    seconds: float
    """Until the answer began."""
    waited: bool
    """The caller asked to wait for news: the seconds say nothing about the service."""


class LogRequests:
    """The outermost layer of a service. `observe` is told of each request once its answer has begun."""

    def __init__(self, app: App, observe: Callable[[Served], None] | None = None) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the id into `request.state.request_id`, the log's context and the answer's header."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope, REQUEST_ID_HEADER.encode()) or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        begin = time.perf_counter()
        answered: list[tuple[int, float]] = []

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append((message["status"], time.perf_counter() - begin))
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        with log_context(request_id=request_id):
            try:
                await self._app(scope, receive, send_named)
            except Exception:
                answered[:] = answered or [(500, time.perf_counter() - begin)]
                log.exception("the request failed")
                raise
            finally:
                status, seconds = answered[0] if answered else (0, time.perf_counter() - begin)
                self._finish(scope, status, seconds)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        _write_down(scope, status, seconds)
        if self._observe is not None:
            self._observe(
                Served(
                    route=getattr(scope.get("route"), "path", NO_ROUTE),
                    method=scope["method"] if scope["method"] in METHODS else "other",
                    status=f"{status // 100}xx" if status else "none",
                    seconds=seconds,
                    waited=b"wait=" in scope.get("query_string", b""),
                )
            )


def _write_down(scope: Scope, status: int, seconds: float) -> None:
    path = str(scope["path"])
    fine = 0 < status < 400
    level = logging.DEBUG if fine and _QUIET.fullmatch(path) else logging.INFO
    if status >= 500 and path not in OPEN_PATHS:
        level = logging.WARNING
    if not log.isEnabledFor(level):
        return
    parameters = scope.get("path_params") or {}
    ids = {name: parameters[name] for name in _IDS if _ID.fullmatch(str(parameters.get(name, "")))}
    with log_context(**{name: str(value) for name, value in ids.items()}):
        log.log(
            level,
            "%s %s",
            scope["method"],
            path[:MAX_PATH_CHARACTERS],
            extra={"details": {"status": status or None, "seconds": round(seconds, 4)}},
        )
