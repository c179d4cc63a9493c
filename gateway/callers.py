"""Who calls, and how often they may: finds the caller of every public request before anything else is done.

A key that is wrong costs its address a token of a small bucket; a valid one is never held up by what others
do from the same address. Buckets are of this process: several gateways allow as many times as much.
The header fields are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

import time
from collections import Counter
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from contracts.log_context import note
from contracts.problems import problem
from contracts.service_gate import METRICS_PATH, App, Message, Receive, Scope, Send, bearer_token
from gateway.domain.api_keys import LOCAL_CALLER, ApiKey, Caller
from gateway.domain.token_buckets import Allowance, TokenBuckets, bucket_of_address
from gateway.infra.api_keys import ApiKeyStore
from gateway.infra.database import StorageUnavailable, utc_now
from gateway.key_watch import KeyWatch
from gateway.routes.problems import problem_response

WINDOW_SECONDS = 60
WRONG_KEYS_PER_WINDOW = 20
"""Of one address. Nobody guesses a key; those who try are told to wait, at the price of one look-up each."""
AT_ONCE_RETRY_SECONDS = 5
UNLIMITED_PATHS = frozenset({"/healthz", "/readyz"})


class IdentifyCallers:
    """Puts `caller` into the request's state, and `key_problem` where a key was sent that opens nothing.

    Answers 429, with `Retry-After`, to whoever asks too often: counted by the tenant of its key, and by
    address without one.
    Callers of a keyless gateway are its own machine's, and are not counted.
    """

    def __init__(self, app: App, keyless: bool, per_tenant: int, per_address: int, at_once: int) -> None:
        """Requests a minute of a tenant's keys, and of an address without; and of each how many under way."""
        self._app = app
        self._keyless = keyless
        self._of_tenants = TokenBuckets(per_tenant, WINDOW_SECONDS)
        self._of_addresses = TokenBuckets(per_address, WINDOW_SECONDS)
        self._of_wrong_keys = TokenBuckets(min(WRONG_KEYS_PER_WINDOW, per_address), WINDOW_SECONDS)
        self._at_once = at_once
        self._under_way: Counter[str] = Counter()
        self._watch = KeyWatch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, or answer 429."""
        if scope["type"] != "http" or scope["path"].startswith("/internal"):
            await self._app(scope, receive, send)
            return
        try:
            caller, key_problem = await self._identify(scope)
        except StorageUnavailable:
            await problem_response(_storage_unavailable(), {"retry-after": "5"})(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["caller"], state["key_problem"] = caller, key_problem
        if caller is not None:
            note(tenant=caller.tenant)
        policy = self._policy(scope, caller, key_problem)
        if policy is None:
            await self._app(scope, receive, send)
            return
        name, buckets, bucket = policy
        allowance = buckets.take(bucket, time.monotonic())
        headers = _headers(name, buckets, allowance)
        if not allowance.allowed:
            rate = f"asks more than {buckets.capacity} times in {WINDOW_SECONDS} seconds"
            await _too_many("too_many_requests", name, rate, headers)(scope, receive, send)
            return
        if self._under_way[bucket] >= self._at_once:
            # Each holds a connection, of which the process has so many and no more.
            headers["retry-after"] = str(AT_ONCE_RETRY_SECONDS)
            open_ones = f"has {self._at_once} requests under way; no more may be"
            await _too_many("too_many_at_once", name, open_ones, headers)(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_encoded(headers)]
            await send(message)

        if caller is not None and caller.key_id is not None:
            opens = partial(self._opens, scope)
            send_on = self._watch.watched(send_counted, caller.key_id, opens)
        else:
            send_on = send_counted
        self._under_way[bucket] += 1
        try:
            await self._app(scope, receive, send_on)
        finally:
            self._under_way[bucket] -= 1
            if not self._under_way[bucket]:
                del self._under_way[bucket]

    async def _identify(self, scope: Scope) -> tuple[Caller | None, str | None]:
        key = bearer_token(scope)
        if key is None or scope["path"] in UNLIMITED_PATHS:
            return (LOCAL_CALLER if self._keyless else None), None
        keys: ApiKeyStore = scope["app"].state.services.keys
        found = await run_in_threadpool(keys.find, key)
        key_problem = _why_not(found)
        if found is None or key_problem is not None:
            return None, key_problem
        if found.wants_noting(utc_now()):
            await run_in_threadpool(keys.note_use, found)
        return Caller(found.tenant, frozenset(found.scopes), found.id), None

    def _opens(self, scope: Scope) -> bool:
        """Whether the key of a request is in force still."""
        keys: ApiKeyStore = scope["app"].state.services.keys
        return _why_not(keys.find(bearer_token(scope) or "")) is None

    def _policy(
        self, scope: Scope, caller: Caller | None, key_problem: str | None
    ) -> tuple[str, TokenBuckets, str] | None:
        """Under which name, and in whose bucket, the request is counted; None for one that is not."""
        address = bucket_of_address(address_of(scope))
        if key_problem is not None and scope["path"] != METRICS_PATH:  # who measures has a token of its own
            return "wrong-keys", self._of_wrong_keys, address
        if caller is None:
            return None if scope["path"] in UNLIMITED_PATHS else ("address", self._of_addresses, address)
        # By its tenant: who may make keys would else ask as often as it likes. No address has a space.
        return None if caller.key_id is None else ("tenant", self._of_tenants, f"tenant {caller.tenant}")


def address_of(scope: Scope) -> str:
    """Where the request came from; what a proxy says is believed only of one that is trusted by name."""
    client = scope.get("client")
    return str(client[0])[:64] if client else "unix"


def _why_not(key: ApiKey | None) -> str | None:
    """Why a key opens nothing, for its holder; None when it does."""
    if key is None:
        return "This API key is none of this gateway's."
    if key.revoked_at is not None:
        return f"This API key, {key.prefix}…, was revoked."
    if key.has_expired(utc_now()):
        return f"This API key, {key.prefix}…, has expired."
    return None


def _headers(name: str, buckets: TokenBuckets, allowance: Allowance) -> dict[str, str]:
    headers = {
        "ratelimit-policy": f'"{name}";q={buckets.capacity};w={round(buckets.window_seconds)}',
        "ratelimit": f'"{name}";r={allowance.remaining};t={allowance.reset_seconds}',
    }
    return headers if allowance.allowed else {**headers, "retry-after": str(allowance.retry_seconds)}


_WHOSE = {
    "tenant": "This API key, with its tenant's others,",
    "address": "This address",
    "wrong-keys": "This address, with wrong keys,",
}
_REMEDIES = {
    "too_many_requests": "Wait as long as Retry-After says; follow events or use `wait` instead of asking "
    "again.",
    "too_many_at_once": "End event streams that nobody reads, or wait for some requests to end.",
}


def _too_many(code: str, name: str, what: str, headers: dict[str, str]) -> Response:
    """429 to whoever is counted under that name, and what it does too much of."""
    document = problem(
        429,
        code,
        f"{_WHOSE[name]} {what}.",
        field="Authorization" if name != "address" else None,
        remedy=_REMEDIES[code],
    )
    return problem_response(document, headers)


def _storage_unavailable() -> dict[str, Any]:
    return problem(
        503,
        "storage_unavailable",
        "The gateway cannot look up the API key now.",
        remedy="Try again shortly; if it lasts, look whether the database can be reached and written.",
    )


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
