"""What handlers ask for in their signatures: the services, the caller and its tenant, the idempotency key."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Header, Request

from gateway.domain.access import KeyScope, is_allowed, scopes_for
from gateway.domain.api_keys import Caller
from gateway.routes.problems import RequestProblem
from gateway.services import Services

MAX_KEY_CHARACTERS = 200
"""Of an Idempotency-Key."""


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(_services)]


def _caller(request: Request) -> Caller:
    """Who calls, and may call this route at all."""
    caller = _known(request)
    _require(caller, scopes_for(request.method, request.scope["route"].path))
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]


def _tenant(caller: CallerOf) -> str:
    """The tenant of the API key; without one, `local` where only this machine reaches the gateway."""
    return caller.tenant


Tenant = Annotated[str, Depends(_tenant)]


def operator_of(request: Request) -> Caller:
    """The operator of the farm, whichever route it is."""
    caller = _known(request)
    require_operator(caller)
    return caller


Operator = Annotated[Caller, Depends(operator_of)]


def require_operator(caller: Caller) -> None:
    """Refuse whoever is no operator."""
    _require(caller, (KeyScope.OPERATOR,))


def _known(request: Request) -> Caller:
    caller: Caller | None = request.state.caller
    if caller is not None:
        return caller
    key_problem: str | None = request.state.key_problem
    raise RequestProblem(
        401,
        "api_key_required" if key_problem is None else "api_key_not_in_force",
        key_problem or "This needs an API key.",
        field="Authorization",
        remedy="Send `Authorization: Bearer dn_…`; `deltanas keys create` makes a key, and `deltanas keys "
        "list` shows until when it is good.",
        headers={"www-authenticate": "Bearer" if key_problem is None else 'Bearer error="invalid_token"'},
    )


def _require(caller: Caller, needed: Iterable[KeyScope]) -> None:
    """Refuse a key with none of the scopes."""
    if is_allowed(caller.scopes, needed):
        return
    wanted = sorted(needed)
    raise RequestProblem(
        403,
        "scope_missing",
        f"This API key lacks the scope {' or '.join(wanted)}.",
        field="Authorization",
        value=" ".join(sorted(caller.scopes)),
        remedy=f"Use a key with the scope: `deltanas keys create --scope {wanted[0]}`.",
        headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{" ".join(wanted)}"'},
    )


def _idempotency_key(
    idempotency_key: Annotated[
        str | None, Header(json_schema_extra={"minLength": 1, "maxLength": MAX_KEY_CHARACTERS})
    ] = None,
) -> str | None:
    if idempotency_key is None:
        return None
    if not 1 <= len(idempotency_key) <= MAX_KEY_CHARACTERS or not idempotency_key.isprintable():
        raise RequestProblem(
            422,
            "invalid_request",
            f"An Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} printable characters.",
            field="Idempotency-Key",
            value=idempotency_key,
            remedy="Send a UUID, for example.",
        )
    return idempotency_key


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
