"""Writes down each use of a key that changes something, in plain ASGI, before its answer leaves."""

import logging

from starlette.concurrency import run_in_threadpool

from contracts.service_gate import App, Message, Receive, Scope, Send
from gateway.callers import address_of
from gateway.domain.api_keys import Caller
from gateway.infra.audit_log import AuditEntry, AuditLog
from gateway.infra.database import utc_now

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHANGES_NOTHING = frozenset({"/v1/deltas:apply", "/v1/novelty:check"})
_OPERATORS = ("/v1/keys", "/v1/tenants")
"""Written down also when the machine's own operator does it, without a key."""

log = logging.getLogger(__name__)


class AuditTrail:
    """Innermost: it sees the caller, the route that was found, and the answer's status, and no contents."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; hold its answer until it is written down."""
        caller: Caller | None = scope.get("state", {}).get("caller")
        if scope["type"] != "http" or caller is None or not _is_recorded(scope, caller):
            await self._app(scope, receive, send)
            return

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                await _record(scope, caller, message)
            await send(message)

        try:
            await self._app(scope, receive, send_recorded)
        except Exception:
            await _record(scope, caller, {"status": 500})
            raise


def _is_recorded(scope: Scope, caller: Caller) -> bool:
    path = str(scope["path"])
    if scope["method"] in _SAFE_METHODS or path in _CHANGES_NOTHING:
        return False
    return caller.key_id is not None or path.startswith(_OPERATORS)


async def _record(scope: Scope, caller: Caller, answer: Message) -> None:
    route = getattr(scope.get("route"), "path", "none")
    created = next((value for name, value in answer.get("headers", ()) if name == b"location"), b"")
    entry = AuditEntry(
        at=utc_now(),
        tenant=caller.tenant,
        actor=caller.actor,
        action=f"{scope['method']} {route}"[:120],
        target=_plain(created.decode("latin-1") or scope["path"]),
        status=answer["status"],
        request_id=scope["state"].get("request_id", "")[:64],
        address=address_of(scope),
    )
    audit: AuditLog = scope["app"].state.services.audit
    try:
        await run_in_threadpool(audit.append, entry)
    except Exception:
        # What was asked for has been done: to answer with an error now would be a lie.
        log.exception("an entry of the audit log could not be written yet")


def _plain(path: str) -> str:
    """A path of the caller's own making: printable, and short."""
    return path.encode("ascii", "backslashreplace").decode()[:200]
